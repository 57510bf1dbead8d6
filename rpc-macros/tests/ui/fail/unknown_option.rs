#[rpc_core::service]
trait Desk {
    #[rpc(one_way)]
    async fn note(&self);
}

fn main() {}
