#[rpc_core::service]
trait Desk {
    async fn note<'a>(&self, text: &'a str);
}

fn main() {}
