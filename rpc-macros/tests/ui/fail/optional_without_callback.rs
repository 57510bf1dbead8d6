use rpc_core::Context;

#[rpc_core::callback]
trait Screen {
    async fn confirm(&self) -> bool;
}

#[rpc_core::service(optional)]
trait Desk {
    async fn note(&self, cx: &Context<DeskClient>);
}

#[rpc_core::service(callback = Screen, optional = true)]
trait Office {
    async fn note(&self, cx: &Context<Option<ScreenClient>>);
}

#[rpc_core::service(callback = Screen, optional, optional)]
trait Shop {
    async fn note(&self, cx: &Context<Option<ScreenClient>>);
}

#[rpc_core::callback(optional)]
trait Door {
    async fn close(&self);
}

fn main() {}
