#[rpc_core::service]
trait Desk {
    async fn with(&self);
    async fn serve(&self);
}

fn main() {}
