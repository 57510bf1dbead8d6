#[rpc_core::service]
trait Desk {
    type Item;
    async fn note(&self);
}

fn main() {}
