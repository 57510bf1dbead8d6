#[rpc_core::service]
trait Desk {
    async fn note(&self, (a, b): (u32, u32));
}

fn main() {}
