#[rpc_core::service]
trait Desk {
    async fn note(&self, #[rpc(defualt)] text: String);
}

fn main() {}
