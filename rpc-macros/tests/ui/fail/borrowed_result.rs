use std::borrow::Cow;

#[rpc_core::service]
trait Desk {
    async fn name(&self) -> &str;
    async fn find(&self, text: &str) -> Option<&'static [u32]>;
    async fn either(&self, text: &str) -> Cow<'_, str>;
}

fn main() {}
