use one_contract::rpc_core;

#[rpc_core::service]
trait Desk {
    async fn sign(&self, document: &str) -> String;
}

fn main() {}
