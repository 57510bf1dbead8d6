#[rpc_core::service]
trait Desk {
    async fn note(&self, #[rpc(default)] a: u32, b: u32);
}

fn main() {}
