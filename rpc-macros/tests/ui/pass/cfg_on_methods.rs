#![allow(unexpected_cfgs)]

#[rpc_core::service]
trait Desk {
    #[cfg(any())]
    async fn never(&self, gone: Missing) -> AlsoMissing;
    #[cfg(all())]
    async fn always(&self) -> u32;
    #[cfg(feature = "a")]
    async fn either(&self) -> u32;
    #[cfg(not(feature = "a"))]
    async fn either(&self) -> u64;
}

fn main() {
    use rpc_core::Stub;
    assert_eq!(DeskClient::CONTRACT.methods().len(), 2);
}
