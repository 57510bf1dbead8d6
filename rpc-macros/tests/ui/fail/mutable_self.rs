#[rpc_core::service]
trait Desk {
    async fn note(&mut self);
}

fn main() {}
