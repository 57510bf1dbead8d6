#![deny(warnings)]
#![allow(dead_code, non_snake_case)]

#[rpc_core::service]
trait Desk {
    async fn note(&self) -> u32;
    async fn Note(&self) -> u64;
}

fn main() {
    use rpc_core::Stub;
    assert_eq!(DeskClient::CONTRACT.methods().len(), 2);
}
