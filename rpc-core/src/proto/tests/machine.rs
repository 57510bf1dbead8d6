//! One end, with the state machine that it has at the moment.

use std::{
    mem,
    ops::{Deref, DerefMut},
    task::Waker,
    time::Instant,
};

use bytes::Bytes;

use crate::{
    config::{Config, HANDSHAKE},
    error::ConnectionError,
    proto::{Connection, EarlyPackets, Event, HelloReader, Released, Role},
    wire::HostedContract,
};

/// A client's connection; or what a server has: first the reader of the Hello, and a connection once the Hello has
/// come. Methods that both state machines have can be called at any time, a connection's methods only when there is
/// one.
pub(super) struct Machine {
    id: u64,
    state: State,
    /// What has come since the Hello, until the verdict.
    early: Option<EarlyPackets>,
}

enum State {
    Reading(Box<HelloReader>),
    Connected(Box<Connection>),
    /// There will be no connection, for this reason; a client that is turned away is told with the packet.
    Failed(ConnectionError, Option<Bytes>),
}

impl Machine {
    pub(super) fn new(role: Role, id: u64, config: &Config, now: Instant) -> Self {
        let config = config.clone();
        let contracts = vec![HostedContract { name: "C".to_owned(), fingerprint: 1, windows: Vec::new() }];
        let state = match role {
            Role::Client => State::Connected(Connection::client(id, config, contracts, now).into()),
            Role::Server => State::Reading(HelloReader::new(config, now).into()),
        };
        Self { id, state, early: None }
    }

    /// A server takes the client in that has said Hello.
    pub(super) fn decide(&mut self, now: Instant) {
        if let Some(early) = self.early.take() {
            self.accept(now, 1, Vec::new(), Vec::new(), early);
        }
    }

    /// Whether a client has said Hello and waits for the verdict.
    pub(super) fn is_undecided(&self) -> bool {
        self.early.is_some()
    }

    /// Why there will be no connection.
    pub(super) fn failed(&self) -> Option<ConnectionError> {
        if let State::Failed(error, _) = &self.state { Some(error.clone()) } else { None }
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        match (&mut self.state, &mut self.early) {
            (State::Connected(connection), Some(early)) => {
                if let Err(error) = early.keep(now, packet) {
                    connection.handle_lost(now, ConnectionError::Protocol(error));
                }
            }
            (State::Connected(connection), None) => {
                connection.handle_packet(now, packet);
            }
            (State::Reading(reader), _) => match reader.handle_packet(now, packet) {
                Ok(None) => {}
                Ok(Some(hello)) => {
                    let place = State::Failed(ConnectionError::Lost("the Hello is being read".to_owned()), None);
                    let State::Reading(reader) = mem::replace(&mut self.state, place) else { unreachable!() };
                    match reader.into_newcomer(hello) {
                        Err(error) => self.state = State::Failed(ConnectionError::Protocol(error), None),
                        Ok(newcomer) => match newcomer.check_version() {
                            Err(status) => {
                                let (packet, error) = newcomer.refuse(status);
                                self.state = State::Failed(error, Some(packet));
                            }
                            Ok(()) => {
                                let (connection, early) = Connection::server(self.id, newcomer, now);
                                self.state = State::Connected(connection.into());
                                self.early = Some(early);
                            }
                        },
                    }
                }
                Err(error) => self.state = State::Failed(ConnectionError::Protocol(error), None),
            },
            (State::Failed(..), _) => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Connected(connection) => connection.handle_timeout(now),
            State::Reading(reader) => {
                if let Err(error) = reader.handle_timeout(now) {
                    self.state = State::Failed(error, None);
                }
            }
            State::Failed(..) => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Connected(connection) => connection.poll_timeout(),
            State::Reading(reader) => reader.poll_timeout(),
            State::Failed(..) => None,
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        match &mut self.state {
            State::Connected(connection) => connection.poll_transmit(now),
            State::Reading(_) => None,
            State::Failed(_, packet) => packet.take(),
        }
    }

    pub(super) fn may_transmit(&self, now: Instant) -> bool {
        self.connection().is_none_or(|connection| connection.may_transmit(now))
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.connection_mut().and_then(Connection::poll_event)
    }

    pub(super) fn take_wakes(&mut self, into: &mut Vec<Waker>) {
        if let Some(connection) = self.connection_mut() {
            connection.take_wakes(into);
        }
    }

    pub(super) fn take_released(&mut self) -> Released {
        self.connection_mut().map(Connection::take_released).unwrap_or_default()
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection().is_some_and(Connection::is_open)
    }

    /// Bytes that a packet to the other end may have.
    pub(super) fn most(&self) -> u64 {
        self.connection().map_or(HANDSHAKE as u64, |connection| connection.peer_limits().packet)
    }

    pub(super) fn check(&self) {
        if let Some(connection) = self.connection() {
            connection.check();
        }
    }

    fn connection(&self) -> Option<&Connection> {
        if let State::Connected(connection) = &self.state { Some(connection) } else { None }
    }

    fn connection_mut(&mut self) -> Option<&mut Connection> {
        if let State::Connected(connection) = &mut self.state { Some(connection) } else { None }
    }
}

impl Deref for Machine {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection().expect("the client has said Hello")
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection_mut().expect("the client has said Hello")
    }
}
