#[rpc_core::service]
trait Desk {
    async fn note(&self);
    #[rpc(name = "note")]
    async fn write(&self);
}

fn main() {}
