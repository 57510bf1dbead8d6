#[rpc_core::service]
trait Desk {
    #[rpc(id = 0x1_0000_0000)]
    async fn note(&self);
}

fn main() {}
