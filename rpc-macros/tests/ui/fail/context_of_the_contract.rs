use rpc_core::Context;

#[rpc_core::callback]
trait Watcher {
    async fn confirm(&self) -> bool;
}

#[rpc_core::service(callback = Watcher)]
trait Jobs {
    async fn run(&self, cx: &Context<Watcher>);
}

fn main() {}
