#[rpc_core::service]
trait Desk {
    #[rpc(onway)]
    async fn note(&self);
    fn write(&self);
    async fn read(&mut self) -> u32;
    async fn fine(&self, text: &str) -> String;
}

struct Clerk;

impl Desk for Clerk {
    async fn note(&self) {}
    fn write(&self) {}
    async fn read(&mut self) -> u32 {
        1
    }
    async fn fine(&self, text: &str) -> String {
        text.to_owned()
    }
}

async fn uses(desk: DeskClient) {
    // No second wave: what was fine is there.
    let _ = desk.fine("x").await;
    let _ = desk.note().await;
}

fn main() {}
