#[rpc_core::service]
trait Desk {
    async fn merge(&self, other: Option<Self>) -> Self;
}

fn main() {}
