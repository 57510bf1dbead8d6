#[rpc_core::service(callbacks = Screen)]
trait Desk {
    async fn note(&self);
}

fn main() {}
