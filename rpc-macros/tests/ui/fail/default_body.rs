#[rpc_core::service]
trait Desk {
    async fn note(&self) -> u32 {
        5
    }
}

fn main() {}
