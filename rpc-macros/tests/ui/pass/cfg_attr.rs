#![allow(unexpected_cfgs)]

#[rpc_core::service]
#[cfg_attr(all(), doc = "Documented.")]
trait Desk {
    #[cfg_attr(all(), cfg(any()))]
    async fn never(&self, gone: Missing) -> AlsoMissing;
    #[cfg_attr(any(), cfg(any()))]
    async fn always(&self) -> u32;
    #[cfg_attr(all(), doc = "One of two.", cfg_attr(all(), cfg(feature = "a")))]
    async fn either(&self) -> u32;
    #[cfg_attr(all(), cfg(not(feature = "a")))]
    async fn either(&self) -> u64;
    #[cfg_attr(all(), deprecated)]
    async fn old(&self) -> u32;
}

#[rpc_core::service]
#[cfg_attr(all(), cfg(any()))]
trait Gone {
    async fn never(&self, gone: Missing);
}

#[deny(deprecated)]
#[expect(deprecated)]
async fn calls(desk: DeskClient) {
    let _ = desk.old().await;
}

fn main() {
    use rpc_core::Stub;
    let _ = calls;
    assert_eq!(DeskClient::CONTRACT.methods().len(), 3);
}
