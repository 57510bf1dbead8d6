#[rpc_core::service]
trait Desk {
    async fn into(&self, id: u32) -> u32;
    async fn r#try_into(&self) -> u32;
    async fn __start(&self);
}

#[rpc_core::service]
trait __Desk {
    async fn note(&self);
}

fn main() {}
