#[rpc_core::service]
trait Desk {
    async fn note<T: serde::Serialize>(&self, item: T);
}

fn main() {}
