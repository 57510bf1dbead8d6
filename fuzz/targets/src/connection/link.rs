//! Handshakes: how a connection gets its first link, and further ones.

use std::time::Instant;

use bytes::Bytes;
use rpc_core::{
    __internals::{
        proto::{Connection, HelloReader, Newcomer, ResumeVerdict, WelcomeReader},
        wire::{Frame, Hello, HostedContract, PacketHeader, Resume, Welcome},
    },
    Status,
};

use super::{
    Setup, World,
    peer::{Peer, limits, packet},
};
use crate::source::Source;

/// What each end takes during the handshake.
pub(super) const HANDSHAKE: u64 = 16 << 10;

const TOKEN: &[u8] = b"token";

/// Begins a connection. `None` if the handshake fails.
pub(super) fn open(setup: &Setup, now: Instant, source: &mut Source<'_>) -> Option<(Connection, Peer)> {
    if setup.is_client { open_client(setup, now, source) } else { open_server(setup, now, source) }
}

fn hosted() -> Vec<HostedContract> {
    vec![HostedContract { name: "C".to_owned(), fingerprint: 1, windows: vec![(1, 300)] }]
}

fn alone(frame: Frame) -> Bytes {
    packet(PacketHeader { seq: 0, ack: 0 }, &[frame])
}

fn open_client(setup: &Setup, now: Instant, source: &mut Source<'_>) -> Option<(Connection, Peer)> {
    let mut connection = Connection::client(1, setup.config.clone(), hosted(), now);
    if let Some(resumability) = &setup.resumability {
        connection.make_resumable(resumability.clone(), &[]);
    }
    let mut peer = Peer::default();
    while let Some(packet) = connection.poll_transmit(now) {
        peer.hear(packet, HANDSHAKE);
    }
    let bytes = source.flag().then(|| Bytes::copy_from_slice(source.bytes(200)));
    let mut welcome = Welcome::new(limits(source), hosted(), source.number());
    if setup.resumability.is_some() {
        (welcome.token, welcome.resume_window_ms) = (Bytes::from_static(TOKEN), 10_000);
    }
    connection.handle_packet(now, bytes.unwrap_or_else(|| alone(Frame::Welcome(Box::new(welcome)))));
    Some((connection, peer))
}

fn open_server(setup: &Setup, now: Instant, source: &mut Source<'_>) -> Option<(Connection, Peer)> {
    let mut peer = Peer::default();
    let bytes = source.flag().then(|| Bytes::copy_from_slice(source.bytes(200)));
    let mut hello = Hello::new(limits(source), hosted());
    hello.keepalive_ms = source.number();
    hello.resume_window_ms = if setup.resumability.is_some() { 10_000 } else { 0 };
    let newcomer = read_hello(setup, now, bytes.unwrap_or_else(|| alone(Frame::Hello(Box::new(hello)))))?;
    let (mut connection, mut early) = Connection::server(1, newcomer, now);
    if let Some(resumability) = &setup.resumability {
        connection.make_resumable(resumability.clone(), TOKEN);
    }
    for _ in 0..source.below(8).saturating_sub(4) {
        early.keep(now, peer.packet(source.flag(), source)).ok()?;
    }
    if source.below(16) == 15 {
        connection.refuse(Status::unavailable("no"));
    } else {
        connection.accept(now, 1, hosted(), Vec::new(), early);
    }
    Some((connection, peer))
}

fn read_hello(setup: &Setup, now: Instant, packet: Bytes) -> Option<Newcomer> {
    let mut reader = HelloReader::new(setup.config.clone(), now);
    let hello = reader.handle_packet(now, packet).ok()??;
    let newcomer = reader.into_newcomer(hello).ok()?;
    match newcomer.check_version() {
        Ok(()) => Some(newcomer),
        Err(status) => {
            newcomer.refuse(status);
            None
        }
    }
}

impl World {
    /// Another link comes, from a position that may be true.
    pub(super) fn resume(&mut self, source: &mut Source<'_>) {
        let position = self.peer.received.wrapping_add(u64::from(source.byte())).wrapping_sub(4);
        let received = if source.below(4) > 0 { self.peer.received } else { position };
        if self.setup.is_client {
            self.resume_at_client(received, source);
        } else {
            self.resume_at_server(received, source);
        }
    }

    fn resume_at_server(&mut self, received: u64, source: &mut Source<'_>) {
        let epoch = self.connection.epoch() + 1 - u64::from(source.below(16) == 15);
        let mut hello = Hello::new(limits(source), hosted());
        hello.resume = Some(Resume { token: Bytes::from_static(TOKEN), epoch, received });
        let (config, now) = (&self.setup, self.now);
        let Some(newcomer) = read_hello(config, now, alone(Frame::Hello(Box::new(hello.clone())))) else { return };
        let Some(resume) = &hello.resume else { return };
        match self.connection.judge_resume(resume) {
            ResumeVerdict::Possible => {
                if self.connection.attach(now, newcomer).is_ok() {
                    self.peer.go_on(received);
                    self.moved = 0;
                    // The client says nothing before it has the Welcome.
                    self.transmit(1);
                }
            }
            ResumeVerdict::Impossible => self.connection.end_unresumed(),
            ResumeVerdict::Stale | ResumeVerdict::Over => {}
        }
    }

    fn resume_at_client(&mut self, received: u64, source: &mut Source<'_>) {
        let (now, config) = (self.now, self.setup.config.clone());
        let Some(hello) = self.connection.resume_hello(hosted()) else { return };
        let sent = hello.resume.as_ref().map(|resume| resume.received);
        let mut reader = WelcomeReader::new(config, hello, now);
        while reader.poll_transmit().is_some() {}
        let welcome = if source.below(8) > 0 {
            Welcome::resume(received)
        } else {
            Welcome { received, resumed: true, ..Welcome::new(limits(source), Vec::new(), 1) }
        };
        let Ok(Some(welcome)) = reader.handle_packet(now, alone(Frame::Welcome(Box::new(welcome)))) else { return };
        let Ok(welcomed) = reader.into_welcomed(welcome) else { return };
        if self.connection.attach_to(now, welcomed).is_ok() {
            self.peer.go_on(received);
            self.peer.sent = sent.unwrap_or(0);
            self.moved = 0;
        }
    }
}
