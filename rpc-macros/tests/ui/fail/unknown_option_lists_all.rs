#[rpc_core::service]
trait Desk {
    #[rpc(quickly, idempotent)]
    async fn note(&self);
}

fn main() {}
