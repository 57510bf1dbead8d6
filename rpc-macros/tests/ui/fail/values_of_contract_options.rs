#[rpc_core::callback]
trait Screen {
    async fn show(&self);
}

#[rpc_core::service(callback = "Screen")]
trait Desk {
    async fn note(&self);
}

#[rpc_core::service("shop")]
trait Shop {
    async fn note(&self);
}

#[rpc_core::service(crate = rpc_core)]
trait Door {
    async fn note(&self);
}

fn main() {}
