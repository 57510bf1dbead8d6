//! What a peer says that does not keep the rules, or that no session stands behind.

use bytes::{Bytes, BytesMut};
use rpc_core::{
    __internals::wire::{
        Frame, Hello, HostedContract, PacketHeader, Payload, PeerLimits, Request, Streams, Welcome, put_frame,
        put_header,
    },
    contract::ContractDescriptor,
};

/// What a peer takes: about as much as by default, but no streams. A test names what else it needs.
pub const LIMITS: PeerLimits = PeerLimits {
    calls: 1024,
    nested: 4,
    notifies: 1024,
    depth: 16,
    payload: 4 << 20,
    assembly: 16 << 20,
    arguments: 16 << 20,
    packet: 128 << 10,
    streams: 0,
    nesting: 128,
    values: 1_000_000,
    containers: 131_072,
    // Chunks, and windows of streams.
    ..PeerLimits::all(1, 64 << 10)
};

/// These frames in one packet.
pub fn packet(header: PacketHeader, frames: &[Frame]) -> Bytes {
    let mut packet = BytesMut::new();
    put_header(&mut packet, header);
    frames.iter().for_each(|frame| put_frame(&mut packet, frame));
    packet.freeze()
}

/// The contracts that a peer announces if it hosts this one.
pub fn hosted(contract: &ContractDescriptor) -> Vec<HostedContract> {
    vec![HostedContract { name: contract.name().to_owned(), fingerprint: contract.fingerprint(), windows: Vec::new() }]
}

/// A client's first frame. It asks for no keepalive.
pub fn hello(limits: PeerLimits, contracts: Vec<HostedContract>) -> Frame {
    Frame::Hello(Box::new(Hello::new(limits, contracts)))
}

/// The first packet of a client that takes [`LIMITS`] and hosts nothing.
pub fn greeting() -> Bytes {
    packet(PacketHeader { seq: 0, ack: 0 }, &[hello(LIMITS, Vec::new())])
}

/// A server's first frame. It asks for no keepalive.
pub fn welcome(limits: PeerLimits, contracts: Vec<HostedContract>) -> Frame {
    Frame::Welcome(Box::new(Welcome::new(limits, contracts, 1)))
}

/// A call at no depth, without a deadline and without metadata.
pub fn request(id: u64, method: u32, payload: Payload, streams: Streams) -> Frame {
    let (deadline_ms, depth, parent, metadata) = (None, 0, None, Vec::new());
    Frame::Request(Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window: 0 })
}
