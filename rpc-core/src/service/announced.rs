//! How hosted contracts stand in a Hello and a Welcome, and how long these may become.

use bytes::BytesMut;

use super::Service;
use crate::{
    contract::MethodDescriptor,
    wire::{Frame, HostedContract, PacketHeader, PeerLimits, Welcome, put_frame, put_header},
};

/// The contracts as the handshake announces them.
pub(super) fn announced(services: &[Service]) -> Vec<HostedContract> {
    let contracts = services.iter().map(Service::contract);
    let hosted = contracts.map(|contract| HostedContract {
        name: contract.name().to_owned(),
        fingerprint: contract.fingerprint(),
        windows: windows(contract.methods()),
    });
    hosted.collect()
}

fn windows(methods: &[&MethodDescriptor]) -> Vec<(u32, u32)> {
    let windows = methods.iter().map(|method| (method.id(), method.announced_window()));
    windows.filter(|(_, window)| *window > 0).collect()
}

/// The largest length of a Welcome that announces the services. A Hello is shorter. Apart from the names, both consist
/// of numbers, which take their largest values here.
pub(super) fn handshake_len(services: &[Service]) -> usize {
    let limits = PeerLimits::all(u32::MAX, u64::MAX);
    let welcome = Welcome { keepalive_ms: u64::MAX, ..Welcome::new(limits, announced(services), u64::MAX) };
    packet_len(Frame::Welcome(Box::new(welcome)))
}

/// The length of the first packet of an end.
pub(super) fn packet_len(frame: Frame) -> usize {
    let mut packet = BytesMut::new();
    put_header(&mut packet, PacketHeader { seq: 0, ack: 0 });
    put_frame(&mut packet, &frame);
    packet.len()
}
