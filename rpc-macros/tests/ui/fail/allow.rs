#[rpc_core::callback]
trait Screen {
    #[rpc(allow = "server")]
    async fn show(&self);
}

#[rpc_core::service(callback = Screen)]
trait Desk {
    #[rpc(allow = "")]
    async fn empty(&self);
    #[rpc(allow = admin)]
    async fn no_quotes(&self);
    #[rpc(allow)]
    async fn no_value(&self);
    #[rpc(allow = "a", allow = "b")]
    async fn twice(&self);
}

fn main() {}
