#[rpc_core::service]
trait Desk {
    #[rpc(oneway = true)]
    async fn flag_with_value(&self);
    #[rpc(initiating)]
    async fn value_missing(&self);
    #[rpc(timeout("5s"))]
    async fn parentheses(&self);
    #[rpc(name = note)]
    async fn no_quotes(&self);
    #[rpc(no_cancel spawn)]
    async fn no_comma(&self);
    #[rpc("idempotent")]
    async fn quotes(&self);
    #[rpc(initiating = true)]
    async fn the_default(&self);
}

fn main() {}
