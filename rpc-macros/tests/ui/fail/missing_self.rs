#[rpc_core::service]
trait Desk {
    async fn note(text: String);
}

fn main() {}
