#[rpc_core::service]
trait Desk {
    async fn name(&self) -> impl Into<String>;
    async fn find(&self) -> Box<dyn Send>;
}

fn main() {}
