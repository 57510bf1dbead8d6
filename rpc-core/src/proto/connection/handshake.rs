//! The handshake: Hello and Welcome tell who is there, and what each side takes. Their bytes are in
//! `wire/handshake.rs`, and the limits that they announce in `negotiated.rs`.

use std::time::Instant;

use super::{
    Connection, Lifecycle, Link, Memory, Negotiated, OutgoingCalls, Output, Phase, Role, Schedule, ServedCalls,
    calls::too_deep, closing::Flush, negotiated::own_limits,
};
use crate::{
    config::Config,
    error::{ConnectionError, ProtocolError},
    proto::{
        Event,
        assembly::Assembly,
        outbox::Outbox,
        sequence::Sequence,
        slots::{Slot, SlotState},
        streams::{RecvStreams, SendStreams},
    },
    status::Status,
    wire::{Frame, Hello, HostedContract, PeerLimits, VERSION, Welcome},
};

pub(super) fn hello(config: &Config, contracts: Vec<HostedContract>) -> Frame {
    Frame::Hello(Box::new(Hello {
        version: VERSION,
        limits: own_limits(config),
        keepalive_ms: millis(config),
        contracts,
        credentials: Vec::new(),
        resume: None,
    }))
}

fn millis(config: &Config) -> u64 {
    u64::try_from(config.ping_interval().as_millis()).unwrap_or(u64::MAX)
}

impl Connection {
    /// One end of a connection that begins now. A client's first packet, its Hello, is ready to be sent.
    /// `id` tells connections of this process apart.
    pub fn new(role: Role, id: u64, config: Config, contracts: Vec<HostedContract>, now: Instant) -> Self {
        let handshake = (role == Role::Client).then(|| hello(&config, contracts));
        Self {
            role,
            id,
            life: Lifecycle::new(),
            negotiated: Negotiated::assumed(&config),
            link: Link::new(&config, handshake, now),
            sequence: Sequence::new(),
            outbox: Outbox::default(),
            calls: OutgoingCalls::new(),
            served: ServedCalls::new(&own_limits(&config)),
            send_streams: SendStreams::default(),
            recv_streams: RecvStreams::new(&config),
            assembly: Assembly::default(),
            schedule: Schedule::new(),
            memory: Memory::new(&config),
            output: Output::default(),
            config,
        }
    }

    pub(super) fn handle_handshake(&mut self, now: Instant, frame: Frame) -> Result<(), ProtocolError> {
        match (self.role, frame) {
            (Role::Server, Frame::Hello(hello)) => {
                self.set_peer(&hello.limits, hello.contracts.clone())?;
                self.life.phase = Phase::AwaitingDecision;
                if hello.version == VERSION {
                    self.output.emit(Event::Hello(hello));
                } else {
                    self.refuse(Status::failed_precondition(format!(
                        "the client speaks version {} of the protocol, this server speaks version {VERSION}",
                        hello.version
                    )));
                }
                Ok(())
            }
            (Role::Client, Frame::Welcome(welcome)) => {
                if let Some(refusal) = welcome.refusal {
                    self.end(ConnectionError::Refused(refusal), Flush::Nothing);
                    return Ok(());
                }
                if welcome.version != VERSION {
                    return Err(ProtocolError::new(format!(
                        "the server speaks version {} of the protocol, this client speaks version {VERSION}",
                        welcome.version
                    )));
                }
                self.set_peer(&welcome.limits, welcome.contracts.clone())?;
                self.open(now);
                self.output.emit(Event::Welcome(welcome));
                Ok(())
            }
            (role, frame) => Err(ProtocolError::new(format!(
                "a {} frame came where the handshake of the {} was expected",
                frame.kind_name(),
                if role == Role::Server { "client" } else { "server" }
            ))),
        }
    }

    /// At a server: takes the client in. `session` is the session's number for the client.
    pub fn accept(&mut self, now: Instant, session: u64, contracts: Vec<HostedContract>) {
        if self.life.phase != Phase::AwaitingDecision {
            return;
        }
        self.link.handshake = Some(self.welcome(session, contracts, None));
        self.open(now);
        for packet in self.link.take_early() {
            self.handle_packet(now, packet);
        }
    }

    /// Turns the other side away, and tells it why. A client learns it from the answer to its Hello; a server, which
    /// has taken this side in, learns it from the close.
    pub fn refuse(&mut self, status: Status) {
        // No method of the session has run.
        let status = status.cut_to(self.negotiated.text).not_executed();
        match self.life.phase {
            Phase::AwaitingDecision => self.link.handshake = Some(self.welcome(0, Vec::new(), Some(status.clone()))),
            Phase::Open => {}
            Phase::Handshake | Phase::Ended => return,
        }
        self.end(ConnectionError::RefusedPeer(status), Flush::Output);
    }

    fn welcome(&self, session: u64, contracts: Vec<HostedContract>, refusal: Option<Status>) -> Frame {
        Frame::Welcome(Box::new(Welcome {
            version: VERSION,
            limits: own_limits(&self.config),
            keepalive_ms: millis(&self.config),
            contracts,
            session,
            secret: Vec::new(),
            resumed: false,
            received: 0,
            refusal,
        }))
    }

    fn set_peer(&mut self, limits: &PeerLimits, contracts: Vec<HostedContract>) -> Result<(), ProtocolError> {
        self.negotiated = Negotiated::new(&self.config, limits, contracts)?;
        self.calls.count_depths(&self.negotiated.limits);
        let room = self.config.streams_window().min(self.config.item_memory());
        self.send_streams.set_limits(&self.negotiated.limits, self.negotiated.chunk, room);
        Ok(())
    }

    fn open(&mut self, now: Instant) {
        self.life.phase = Phase::Open;
        self.link.open(&self.config, now);
        let depth = self.negotiated.limits.depth;
        self.calls.open(&self.negotiated.limits);
        // Calls that were begun before the other side announced its limit, and for which no permit will ever be free.
        for key in self.calls.slots.keys() {
            let deep = |slot: &Slot| slot.state == SlotState::Waiting && slot.depth > depth;
            if self.calls.slots.find(key).is_some_and(deep) {
                self.fail(key, too_deep(depth));
            }
        }
        self.calls.grant(false, &mut self.output.wakes);
        self.calls.grant(true, &mut self.output.wakes);
    }
}
