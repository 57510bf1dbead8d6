#![allow(unexpected_cfgs)]

#[rpc_core::service]
trait Desk {
    #[cfg_attr(feature = "a", rpc(oneway))]
    async fn a(&self);
    #[cfg_attr(feature = "a", doc = "Documented.", cfg_attr(feature = "b", rpc(idempotent)))]
    async fn b(&self);
}

fn main() {}
