//! One end of a session, as its shell runs it.

use std::{sync::Arc, task::Waker, time::Instant};

use bytes::Bytes;

use super::{ledger::Ledger, random::Random, streams::EndStreams};
use crate::{
    error::{CloseCode, ConnectionError},
    proto::{
        CallKey, CallProgress, CallStart, Charges, Completion, Connection, Event, Outcome, Outgoing, ServedCall,
        ServedKey,
    },
};

/// A call that is served, by its number.
#[derive(Debug)]
pub(super) struct Serving {
    key: ServedKey,
    number: u64,
    call: Arc<ServedCall>,
}

/// A call that was made, and has not ended.
#[derive(Debug)]
struct Made {
    key: CallKey,
    number: u64,
    /// What is still to be sent, once the call has a permit.
    unsent: Option<Unsent>,
}

#[derive(Debug)]
struct Unsent {
    oneway: bool,
    arguments: Bytes,
    streams: usize,
}

/// What the shell around a connection knows.
#[derive(Debug)]
pub(super) struct SessionEnd {
    pub(super) connection: Connection,
    /// The number of the session, for the ledger.
    pub(super) session: u64,
    /// The link that the session has.
    pub(super) link: Option<usize>,
    made: Vec<Made>,
    serving: Vec<Serving>,
    streams: EndStreams,
    pub(super) closed: Option<ConnectionError>,
    /// How often the connection has lost its link.
    pub(super) losses: usize,
}

impl SessionEnd {
    pub(super) fn new(connection: Connection, session: u64, link: Option<usize>) -> Self {
        let (made, serving, streams) = (Vec::new(), Vec::new(), EndStreams::default());
        Self { connection, session, link, made, serving, streams, closed: None, losses: 0 }
    }

    /// Makes a call.
    pub(super) fn call(&mut self, now: Instant, ledger: &mut Ledger, call: NewCall) {
        let number = ledger.begin(call.oneway);
        let arguments = Ledger::arguments(number, call.len);
        let deadline = call.timeout.map(|timeout| now + timeout);
        let origin = self.serving.last().filter(|_| call.nested).map(|serving| serving.call.clone());
        let depth = origin.as_ref().map_or(0, |origin| origin.depth + 1);
        let mut start = CallStart { oneway: call.oneway, deadline, origin, depth, ..CallStart::default() };
        let unsent = Unsent { oneway: call.oneway, arguments, streams: call.streams };
        match self.connection.begin_call(now, &mut start, Waker::noop()) {
            Ok((key, CallProgress::Admitted)) => {
                self.made.push(Made { key, number, unsent: None });
                self.send(key, unsent, ledger);
            }
            Ok((key, _)) => self.made.push(Made { key, number, unsent: Some(unsent) }),
            Err(status) => ledger.refuse(number, status),
        }
    }

    fn send(&mut self, key: CallKey, Unsent { oneway, arguments, streams }: Unsent, ledger: &mut Ledger) {
        let method = if oneway { 2 } else { 1 };
        let (payload, charges) = (arguments.into(), Charges::default());
        let mut outgoing = Outgoing { method, metadata: Vec::new(), payload, streams, charges };
        let sent = self.connection.send_call(key, &mut outgoing, Waker::noop());
        if sent && !oneway {
            self.streams.produce_all(&self.connection.argument_streams(key), ledger);
        }
        if oneway && sent {
            // It is over for its caller.
            self.made.retain(|made| made.key != key);
        }
    }

    /// Sends what has got a permit, and takes outcomes.
    fn look_at_calls(&mut self, ledger: &mut Ledger) {
        for index in 0..self.made.len() {
            let Some(made) = self.made.get_mut(index) else { break };
            if made.unsent.is_some() && self.connection.peek_admitted(made.key) == Some(true) {
                let (key, unsent) = (made.key, made.unsent.take());
                if let Some(unsent) = unsent {
                    self.send(key, unsent, ledger);
                }
            }
        }
        let (connection, streams) = (&mut self.connection, &mut self.streams);
        self.made.retain(|made| match connection.poll_call(made.key, Waker::noop()) {
            CallProgress::Done(outcome) => {
                if let Outcome::Streaming(_, ids) = &outcome {
                    streams.read_all(ids);
                }
                ledger.end(made.number, outcome);
                false
            }
            _ => true,
        });
    }

    /// Acts on events, as a shell does. Gives the reason for which the link's transport is to be closed.
    pub(super) fn act(&mut self, ledger: &mut Ledger) -> Option<ConnectionError> {
        let mut lost = None;
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Call { key, call, payload, streams, .. } => {
                    let number = Ledger::number_of(&payload);
                    self.streams.read_all(&streams);
                    if call.start() {
                        ledger.start(number);
                        ledger.queues.start(number, &call);
                        self.serving.push(Serving { key, number, call });
                    } else {
                        self.connection.complete(key, Completion::NotStarted, Charges::default());
                    }
                }
                Event::Closed(error) => {
                    assert!(!matches!(error, ConnectionError::Protocol(_)), "an honest end broke a rule: {error}");
                    self.closed = Some(error);
                    self.serving.clear();
                }
                Event::Detached(error) => {
                    assert!(!matches!(error, ConnectionError::Protocol(_)), "an honest end broke a rule: {error}");
                    lost = Some(error);
                    self.losses += 1;
                }
                Event::Cancel { key } => {
                    self.serving.retain(|serving| serving.key != key);
                    self.connection.complete(key, Completion::Stopped, Charges::default());
                }
                _ => {}
            }
        }
        self.connection.take_wakes(&mut Vec::new());
        let _ = self.connection.take_released();
        drop(self.connection.take_stale_wakers());
        self.look_at_calls(ledger);
        lost
    }

    /// One of the handlers ends, perhaps with a result of streams.
    pub(super) fn answer(&mut self, which: usize, len: usize, streams: usize, ledger: &mut Ledger) {
        if self.serving.is_empty() {
            return;
        }
        let Serving { key, number, .. } = self.serving.swap_remove(which % self.serving.len());
        let result = Ledger::result(number, len).into();
        let has_streams = streams > 0 && matches!(key, ServedKey::Call(_));
        let completion = if has_streams { Completion::Streaming(result, streams) } else { Completion::Value(result) };
        let ids = self.connection.complete(key, completion, Charges::default());
        self.streams.produce_all(&ids, ledger);
    }

    pub(super) fn answer_all(&mut self, ledger: &mut Ledger) {
        while !self.serving.is_empty() {
            self.answer(0, 8, 0, ledger);
        }
    }

    /// Something happens to a stream.
    pub(super) fn stream_step(&mut self, now: Instant, random: &mut Random, ledger: &mut Ledger) {
        let (which, connection) = (random.below(8), &mut self.connection);
        match random.below(12) {
            0..=5 => {
                let (count, len) = (u32::try_from(random.below(20)).unwrap(), random.below(200));
                self.streams.produce(connection, now, (which, count, len), ledger);
            }
            6..=8 => self.streams.read(connection, which, ledger),
            9 | 10 => self.streams.finish(connection, now, which, ledger),
            _ => self.streams.leave(connection, which),
        }
    }

    /// All streams are finished, and read to their ends as far as these have come.
    pub(super) fn finish_streams(&mut self, now: Instant, ledger: &mut Ledger) {
        self.streams.finish_all(&mut self.connection, now, ledger);
        self.streams.read_to_the_end(&mut self.connection, ledger);
    }

    /// Whether no stream is read whose end is still to come.
    pub(super) fn has_read_all(&mut self, ledger: &Ledger) -> bool {
        self.streams.read_to_the_end(&mut self.connection, ledger);
        self.streams.is_nothing_read()
    }

    /// A caller gives up.
    pub(super) fn cancel(&mut self, which: usize, ledger: &mut Ledger) {
        if self.made.is_empty() {
            return;
        }
        let made = self.made.swap_remove(which % self.made.len());
        self.connection.cancel_call(made.key);
        // It is not told how the call ended.
        let status = crate::status::Status::cancelled("the caller has gone");
        ledger.end(made.number, Outcome::Status(status));
    }

    /// Whether the session needs no link any more.
    pub(super) fn is_done(&self) -> bool {
        self.connection.ended().is_some() && !self.connection.is_lingering() && !self.connection.has_output()
    }

    /// The code with which this end closes the link of a session that is done.
    pub(super) fn close_code(&self) -> CloseCode {
        let code = self.closed.as_ref().and_then(|error| self.connection.close_code(error));
        code.unwrap_or(CloseCode::NORMAL)
    }

    /// The numbers of the calls that are served, in their order.
    pub(super) fn served(&self) -> Vec<u64> {
        self.serving.iter().map(|serving| serving.number).collect()
    }

    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.made.is_empty() && self.serving.is_empty()
    }
}

/// The call that is to be made.
#[derive(Debug, Default)]
pub(super) struct NewCall {
    pub(super) oneway: bool,
    pub(super) len: usize,
    pub(super) timeout: Option<std::time::Duration>,
    /// Streams among the arguments.
    pub(super) streams: usize,
    /// The call is made in a handler, if there is one.
    pub(super) nested: bool,
}
