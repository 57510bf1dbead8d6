#[rpc_core::service]
trait Desk {
    #[rpc(id = 0x1234)]
    async fn note(&self);
    #[rpc(id = 0x1234)]
    async fn write(&self);
}

fn main() {}
