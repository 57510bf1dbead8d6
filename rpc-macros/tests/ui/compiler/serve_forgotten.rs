#[rpc_core::service]
trait Desk {
    async fn note(&self);
}

struct Clerk;

impl Desk for Clerk {
    async fn note(&self) {}
}

fn host(service: impl rpc_core::IntoService) {
    service.into_service();
}

fn starts() {
    host(Clerk);
}

fn main() {}
