#[rpc_core::service]
trait Desk {
    async fn note(&self, text: &mut String);
}

fn main() {}
