use rpc_core::Context;

#[rpc_core::service]
trait Desk {
    async fn note(&self, cx: &Context);
}

fn main() {}
