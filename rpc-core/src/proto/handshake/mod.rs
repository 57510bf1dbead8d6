//! The handshake: Hello and Welcome tell who is there, and what each side takes. Their bytes are in
//! `wire/handshake.rs`, and the limits that they announce in `negotiated.rs`.
//!
//! A server reads the Hello before there is a session: a [`HelloReader`] takes the first packets of a link, and becomes
//! a [`Newcomer`] with the Hello. The shell then turns the client away ([`Newcomer::refuse`]), or begins a session
//! with it ([`Connection::server`](super::Connection::server)), which may still be refused until
//! [`Connection::accept`](super::Connection::accept). What the client sends meanwhile waits in
//! [`EarlyPackets`](super::EarlyPackets).
//!
//! A client says Hello as the first frame of a session. For each further link of a session, a [`WelcomeReader`] says
//! Hello, and becomes [`Welcomed`] with the Welcome; then the session goes on
//! ([`Connection::attach_to`](super::Connection::attach_to)), or another one begins
//! ([`Connection::welcomed`](super::Connection::welcomed)).

mod hello_reader;
mod newcomer;
mod reader;
mod welcome_reader;

use bytes::Bytes;

use crate::{
    config::Config,
    error::{HandshakeViolation, ProtocolError},
    proto::negotiated::{Negotiated, own_limits},
    status::Status,
    wire::{Frame, Frames, Hello, HostedContract, PacketHeader, VERSION, Welcome, WithheldContract},
};

pub use hello_reader::HelloReader;
pub use newcomer::Newcomer;
pub(super) use welcome_reader::judge;
pub use welcome_reader::{WelcomeReader, Welcomed};

/// The frame of a first packet: Hello or Welcome, alone in its packet. `None` if the packet has no frame.
pub(super) fn only_frame(
    header: PacketHeader,
    frames: Frames,
    of_client: bool,
) -> Result<Option<Frame>, ProtocolError> {
    let mut first = None;
    for frame in frames {
        let frame = frame?;
        let is_expected = if of_client { matches!(frame, Frame::Hello(_)) } else { matches!(frame, Frame::Welcome(_)) };
        if first.is_none() && !is_expected {
            let frame = frame.kind_name();
            let rule =
                if of_client { HandshakeViolation::NoHello { frame } } else { HandshakeViolation::NoWelcome { frame } };
            return Err(rule.into());
        }
        if first.is_some() || header.seq != 0 {
            return Err(HandshakeViolation::NotAlone.into());
        }
        first = Some(frame);
    }
    Ok(first)
}

/// What a client says first.
pub(super) fn hello(config: &Config, contracts: Vec<HostedContract>) -> Box<Hello> {
    Box::new(Hello {
        version: VERSION,
        limits: own_limits(config),
        keepalive_ms: millis(config),
        contracts,
        credentials: Vec::new(),
        resume: None,
        resume_window_ms: 0,
    })
}

/// What a server answers.
pub(super) fn welcome(
    config: &Config,
    session: u64,
    contracts: Vec<HostedContract>,
    withheld: Vec<WithheldContract>,
    refusal: Option<Status>,
) -> Box<Welcome> {
    Box::new(Welcome {
        version: VERSION,
        limits: own_limits(config),
        keepalive_ms: millis(config),
        contracts,
        withheld,
        session,
        token: Bytes::new(),
        resumed: false,
        received: 0,
        refusal,
        resume_window_ms: 0,
    })
}

/// What a server answers that goes on with a session, of which it has taken in the packets up to `received`.
pub(super) fn resumed(received: u64) -> Frame {
    Frame::Welcome(Box::new(Welcome::resume(received)))
}

/// A refusal as the other side gets it: not longer than it takes, and no method of the session has run.
pub(super) fn refusal(negotiated: &Negotiated, status: Status) -> Status {
    status.cut_to(negotiated.text).not_executed()
}

fn millis(config: &Config) -> u64 {
    u64::try_from(config.ping_interval().as_millis()).unwrap_or(u64::MAX)
}
