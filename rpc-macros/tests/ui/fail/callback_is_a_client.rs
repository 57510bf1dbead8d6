use rpc_core::Context;

#[rpc_core::callback]
trait Screen {
    async fn confirm(&self) -> bool;
}

#[rpc_core::service(callback = ScreenClient)]
trait Desk {
    async fn note(&self, cx: &Context<ScreenClient>);
    async fn sign(&self, cx: &Context<ScreenClient>);
}

fn main() {}
