#![allow(unexpected_cfgs)]

#[rpc_core::service]
trait Desk {
    async fn a(&self, #[cfg(feature = "a")] text: &str, more: u32);
    async fn b(&self, #[cfg_attr(feature = "a", cfg(any()))] text: &str);
    async fn c(&self, #[cfg_attr(feature = "a", rpc(default))] text: &str);
    async fn d(&self, #[serde(default)] text: &str);
    async fn e(#[cfg(feature = "a")] &self);
    async fn f(&self, #[allow(unused)] text: &str);
}

fn main() {}
