//! A contract of one method, what hosts it, and a call that must succeed.

use rpc_client::Client;

#[rpc_core::service]
pub(crate) trait Adder {
    async fn add(&self, a: u32, b: u32) -> u32;
}

pub(crate) struct Sum;

impl Adder for Sum {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }
}

pub(crate) async fn adds(client: &Client) {
    assert_eq!(client.client::<AdderClient>().add(1, 2).await, Ok(3));
}
