#[rpc_core::service]
trait Desk {
    #[rpc(oneway)]
    async fn note(&self) -> bool;
}

fn main() {}
