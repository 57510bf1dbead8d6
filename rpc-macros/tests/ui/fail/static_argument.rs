#[rpc_core::service]
trait Desk {
    async fn note(&self, text: &'static str, more: Option<&'static str>);
}

fn main() {}
