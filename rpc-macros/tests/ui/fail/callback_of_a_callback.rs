#[rpc_core::callback]
trait Other {
    async fn show(&self);
}

#[rpc_core::callback(callback = Other)]
trait Screen {
    async fn show(&self);
}

fn main() {}
