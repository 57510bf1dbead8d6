use rpc_core::Context;

#[rpc_core::callback]
trait Screen {
    async fn show(&self);
}

#[rpc_core::service(callback = Screen)]
trait Desk {
    async fn note(&self, cx: &Context<ScreenClient>, again: &Context<ScreenClient>);
}

fn main() {}
