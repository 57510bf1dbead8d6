#[rpc_core::service]
trait Desk<T: Send> {
    async fn note(&self, item: T);
}

struct Clerk;

impl Desk<String> for Clerk {
    async fn note(&self, _item: String) {}
}

async fn calls(desk: DeskClient) {
    let _ = desk.note(String::new()).await;
}

fn main() {}
