#[rpc_core::service]
trait Desk {
    async fn note(&self);
}

struct Clerk;

fn starts() {
    Desk::serve(Clerk);
}

fn main() {}
