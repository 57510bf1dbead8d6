use rpc_core::Context;

#[rpc_core::callback]
trait Screen {
    async fn confirm(&self) -> bool;
}

#[rpc_core::callback]
trait Printer {
    async fn print(&self);
}

#[rpc_core::service]
trait Desk {
    async fn note(&self, cx: &Context<ScreenClient>);
}

#[rpc_core::service(callback = Printer)]
trait Office {
    async fn own(&self, cx: &Context<OfficeClient>);
    async fn right(&self, cx: &Context<PrinterClient>);
    async fn wrong(&self, cx: &Context<ScreenClient>);
}

fn main() {}
