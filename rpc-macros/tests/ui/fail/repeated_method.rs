#[rpc_core::service]
trait Desk {
    async fn note(&self);
    async fn note(&self, copies: u32);
}

fn main() {}
