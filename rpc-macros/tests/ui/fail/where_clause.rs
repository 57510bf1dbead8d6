#[rpc_core::service]
trait Desk
where
    Self: Clone,
{
    async fn note(&self);
}

fn main() {}
