#[rpc_core::service]
trait Desk {
    #[rpc(idempotent, timeout = "5s", idempotent)]
    async fn note(&self);
}

fn main() {}
