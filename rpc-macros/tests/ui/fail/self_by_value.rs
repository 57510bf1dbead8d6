#[rpc_core::service]
trait Desk {
    async fn note(self);
}

fn main() {}
