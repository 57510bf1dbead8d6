#[rpc_core::service]
trait Desk {
    async fn note(&self);
}

async fn connects() {
    let _ = DeskClient::connect("ws://localhost").await;
}

fn main() {}
