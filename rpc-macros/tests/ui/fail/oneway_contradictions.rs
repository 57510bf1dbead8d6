#[rpc_core::service]
trait Desk {
    #[rpc(oneway, fallible)]
    async fn note(&self);
    #[rpc(oneway, terminating)]
    async fn leave(&self);
    #[rpc(oneway, idempotent)]
    async fn again(&self);
}

fn main() {}
