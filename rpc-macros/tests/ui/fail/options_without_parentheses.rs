#[rpc_core::service]
trait Desk {
    #[rpc]
    async fn note(&self);
}

fn main() {}
