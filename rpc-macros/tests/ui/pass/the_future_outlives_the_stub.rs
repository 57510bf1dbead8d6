#[rpc_core::service]
trait Desk {
    async fn note(&self, text: &str) -> u32;
}

fn call(desk: DeskClient) -> impl Future<Output = Result<u32, rpc_core::Status>> + Send + 'static {
    desk.note("static")
}

fn main() {
    let _ = call;
}
