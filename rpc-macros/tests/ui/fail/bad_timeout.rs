#[rpc_core::service]
trait Desk {
    #[rpc(timeout = "5 days")]
    async fn note(&self);
    #[rpc(timeout = 5)]
    async fn write(&self);
}

fn main() {}
