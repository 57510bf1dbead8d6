//! A contract for tests of what comes before a session, with a call of it as a packet.

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{PacketHeader, Payload, Streams},
    contract::method_id,
};

use crate::{packet, request};

/// A contract for a client's first call.
#[rpc_core::service]
pub trait Bar {
    /// Gives the number back.
    async fn order(&self, drinks: u32) -> u32;
}

/// Serves all orders.
#[derive(Debug)]
pub struct Keeper;

impl Bar for Keeper {
    async fn order(&self, drinks: u32) -> u32 {
        drinks
    }
}

/// The packet of call `id`, which orders 3 drinks. It is packet `id` too.
pub fn order(id: u64) -> Bytes {
    let payload = Payload::Inline(Bytes::from_static(&[0x91, 3]));
    packet(PacketHeader { seq: id, ack: 0 }, &[request(id, method_id("Bar", "order"), payload, Streams::default())])
}
