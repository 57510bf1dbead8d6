//! A client and a server that share nothing but packets, and a clock that the test moves.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::machine::Machine;
use crate::{
    config::Config,
    error::{ConnectionError, ProtocolError, TimeLimit},
    proto::{
        CallKey, CallProgress, CallStart, Charges, Completion, Connection, DeadlineSetting, Event, IdleTimeout,
        Outcome, Outgoing, Role, ServedCall, ServedKey,
    },
    status::Status,
    wire::Streams,
};

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// Every bound that streams know at its least.
pub(super) fn least() -> Config {
    Config::builder()
        .chunk(256)
        .stream_items(1)
        .stream_window(1)
        .max_stream_window(1)
        .streams_window(1)
        .unacked_bulk(128 * 1024)
        .max_unacked_bulk(128 * 1024)
        .max_payload(200_000)
        .build()
        .unwrap()
}

/// A call that has reached its callee.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) key: ServedKey,
    pub(super) call: Arc<ServedCall>,
    pub(super) payload: Bytes,
    /// The length of the buffer that the payload keeps.
    pub(super) buffer: usize,
    pub(super) streams: Streams,
}

pub(super) struct End {
    pub(super) connection: Machine,
    /// Packets on their way to this end.
    pub(super) inbox: VecDeque<Bytes>,
    pub(super) arrived: Vec<Arrived>,
    pub(super) cancelled: Vec<ServedKey>,
    pub(super) closed: Option<ConnectionError>,
    /// Calls that wait for a permit before they can be sent.
    unsent: Vec<(CallKey, Call)>,
    /// Bytes of the budget of transfers that were given back.
    pub(super) transfers_released: usize,
    /// How often the shell was told to free memory.
    pub(super) trims: usize,
    /// What was told while a drain was held.
    pub(super) serving: Vec<bool>,
}

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) ends: [End; 2],
}

/// The call that a test makes.
#[derive(Clone, Default)]
pub(super) struct Call {
    pub(super) oneway: bool,
    pub(super) origin: Option<Arc<ServedCall>>,
    pub(super) timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) payload: Bytes,
    pub(super) streams: usize,
}

impl Call {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn oneway(mut self) -> Self {
        self.oneway = true;
        self
    }

    pub(super) fn within(mut self, origin: &Arc<ServedCall>) -> Self {
        self.origin = Some(origin.clone());
        self
    }

    pub(super) fn timeout(mut self, seconds: u64) -> Self {
        self.timeout = Some(Duration::from_secs(seconds));
        self
    }

    pub(super) fn streams(mut self, count: usize) -> Self {
        self.streams = count;
        self
    }

    /// The longest time between two items.
    pub(super) fn idle_timeout(mut self, seconds: u64) -> Self {
        self.idle_timeout = Some(Duration::from_secs(seconds));
        self
    }

    pub(super) fn payload(mut self, len: usize) -> Self {
        self.payload = vec![7; len].into();
        self
    }
}

impl End {
    fn new(role: Role, id: u64, config: &Config, now: Instant) -> Self {
        Self {
            connection: Machine::new(role, id, config, now),
            inbox: VecDeque::new(),
            arrived: Vec::new(),
            cancelled: Vec::new(),
            closed: None,
            unsent: Vec::new(),
            transfers_released: 0,
            trims: 0,
            serving: Vec::new(),
        }
    }

    /// The rule that the other end has broken, if this end closed because of that.
    pub(super) fn broken(&self) -> Option<ProtocolError> {
        match &self.closed {
            Some(ConnectionError::Protocol(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// The time limit that ran out, if this end closed because of that.
    pub(super) fn ran_out(&self) -> Option<TimeLimit> {
        match &self.closed {
            Some(ConnectionError::TimedOut(timeout)) => Some(timeout.limit),
            _ => None,
        }
    }

    /// Takes the connection's events, wakes and released budgets, as a shell does.
    pub(super) fn take_events(&mut self, now: Instant) {
        self.connection.decide(now);
        self.closed = self.closed.take().or(self.connection.failed());
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Welcome(_) | Event::Arriving { .. } | Event::Withdrawn { .. } | Event::Draining => {}
                Event::Detached(_) | Event::Attached => {}
                Event::Serving(serving) => self.serving.push(serving),
                Event::Trim => self.trims += 1,
                Event::Call { key, call, payload, buffer, streams } => {
                    self.arrived.push(Arrived { key, call, payload, buffer, streams });
                }
                Event::Cancel { key } => self.cancelled.push(key),
                Event::Closed(error) => self.closed = Some(error),
            }
        }
        let mut wakes = Vec::new();
        self.connection.take_wakes(&mut wakes);
        wakes.into_iter().for_each(Waker::wake);
        self.transfers_released += self.connection.take_released().transfers;
    }

    pub(super) fn send_admitted(&mut self) {
        let connection = &mut self.connection;
        self.unsent.retain(|(key, call)| match connection.peek_admitted(*key) {
            Some(true) => {
                send(connection, *key, call);
                false
            }
            Some(false) => true,
            None => false,
        });
    }
}

fn send(connection: &mut Connection, key: CallKey, call: &Call) -> bool {
    let method = if call.oneway { 2 } else { 1 };
    let (payload, streams) = (call.payload.clone().into(), call.streams);
    let mut outgoing = Outgoing { method, metadata: Vec::new(), payload, streams, charges: Charges::default() };
    connection.send_call(key, &mut outgoing, Waker::noop())
}

impl Pair {
    /// Two ends that have not shaken hands.
    pub(super) fn apart(client: &Config, server: &Config) -> Self {
        let now = Instant::now();
        Self { now, ends: [End::new(Role::Client, 1, client, now), End::new(Role::Server, 2, server, now)] }
    }

    /// Two ends that have shaken hands.
    pub(super) fn open(config: &Config) -> Self {
        let mut pair = Self::apart(config, config);
        pair.run();
        assert!(pair.ends.iter().all(|end| end.connection.is_open()));
        pair
    }

    pub(super) fn with_defaults() -> Self {
        Self::open(&Config::default())
    }

    /// One end writes all the packets that it can, which stay on their way.
    pub(super) fn transmit(&mut self, from: usize) {
        self.ends[from].take_events(self.now);
        self.ends[from].send_admitted();
        while let Some(packet) = self.ends[from].connection.poll_transmit(self.now) {
            let (len, most) = (packet.len(), self.ends[from].connection.most());
            assert!(len as u64 <= most, "a packet of {len} bytes goes to an end that takes {most}");
            self.ends[1 - from].inbox.push_back(packet);
            if !self.ends[from].connection.may_transmit(self.now) {
                assert_eq!(self.ends[from].connection.poll_transmit(self.now), None, "it was the last packet");
            }
        }
    }

    /// One end receives the next packet. False if there is none.
    pub(super) fn receive(&mut self, at: usize) -> bool {
        let now = self.now;
        let end = &mut self.ends[at];
        let Some(packet) = end.inbox.pop_front() else { return false };
        end.connection.handle_packet(now, packet);
        end.take_events(now);
        true
    }

    /// Delivers packets in both directions until there are no more.
    pub(super) fn run(&mut self) {
        loop {
            for end in &mut self.ends {
                end.connection.handle_timeout(self.now);
                end.take_events(self.now);
            }
            self.transmit(CLIENT);
            self.transmit(SERVER);
            let received = self.receive(CLIENT) | self.receive(SERVER);
            if !received {
                break;
            }
        }
    }

    /// Lets time pass, stopping at every timer on the way.
    pub(super) fn pass(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        loop {
            self.run();
            let next = self.ends.iter().filter_map(|end| end.connection.poll_timeout()).min();
            match next {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = until;
        self.run();
    }

    /// Begins a call, and sends it once it is admitted.
    pub(super) fn call(&mut self, from: usize, call: Call) -> Result<CallKey, Status> {
        let depth = call.origin.as_ref().map_or(0, |origin| origin.depth + 1);
        let deadline = call.timeout.map(|timeout| self.now + timeout);
        let (oneway, origin, idle_timeout) = (
            call.oneway,
            call.origin.clone(),
            call.idle_timeout.map(|time| IdleTimeout { time, setting: DeadlineSetting::Config }),
        );
        let mut start = CallStart { oneway, depth, origin, deadline, idle_timeout, ..CallStart::default() };
        let end = &mut self.ends[from];
        let (key, progress) = end.connection.begin_call(self.now, &mut start, Waker::noop())?;
        if progress == CallProgress::Admitted {
            assert!(send(&mut end.connection, key, &call));
        } else {
            end.unsent.push((key, call));
        }
        Ok(key)
    }

    /// Makes a call that no limit holds up, and lets it arrive.
    pub(super) fn call_and_arrive(&mut self, from: usize, call: Call) -> (CallKey, Arrived) {
        let key = self.call(from, call).unwrap();
        self.run();
        (key, self.ends[1 - from].arrived.pop().expect("the call has arrived"))
    }

    pub(super) fn answer(&mut self, at: usize, arrived: &Arrived, completion: Completion) -> Streams {
        self.ends[at].connection.complete(arrived.key, completion, Charges::default())
    }

    /// Answers with any value.
    pub(super) fn answer_ok(&mut self, at: usize, arrived: &Arrived) {
        self.answer(at, arrived, Completion::Value(Bytes::from_static(&[1]).into()));
    }

    /// The outcome of a call, if there is one yet.
    pub(super) fn outcome(&mut self, at: usize, key: CallKey) -> Option<Outcome> {
        match self.ends[at].connection.poll_call(key, Waker::noop()) {
            CallProgress::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    pub(super) fn status(&mut self, at: usize, key: CallKey) -> Status {
        match self.outcome(at, key) {
            Some(Outcome::Status(status)) => status,
            other => panic!("{other:?} instead of a status"),
        }
    }

    /// Tests the invariants of both ends.
    pub(super) fn check(&self) {
        for end in &self.ends {
            end.connection.check();
        }
    }

    /// Asserts that both ends hold nothing.
    pub(super) fn assert_empty(&self) {
        for end in &self.ends {
            let stats = end.connection.stats();
            let expected = crate::proto::ConnectionStats { unacked_bulk: stats.unacked_bulk, ..Default::default() };
            assert_eq!(stats, expected);
        }
    }
}
