#[rpc_core::service]
trait Desk {
    async fn note(&self, text: impl Into<String>);
}

fn main() {}
