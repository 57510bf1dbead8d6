#[rpc_core::service]
trait Desk<T: Send> {
    async fn note(&self, item: T);
}

fn main() {}
