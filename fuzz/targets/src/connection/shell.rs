//! `Shell`: what runs the connection, as the driver, the callers and the handlers of a session do together.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rpc_core::{
    __internals::proto::{
        CallKey, CallProgress, CallStart, Charges, Completion, Connection, DeadlineSetting, Event, IdleTimeout,
        Outcome, Outgoing, PlainArguments, PlainStart, QueuedCall, Reading, ServedCall, ServedKey, StreamError, Taken,
    },
    Overflow, Status,
    contract::MethodDescriptor,
};

use crate::source::Source;

static TOLD: MethodDescriptor = MethodDescriptor::new("Fuzz", "told", 0).with_id(ONEWAY).oneway();

/// A call that was made here.
struct Made {
    key: CallKey,
    /// What is to be sent, once the call has a permit.
    unsent: Option<Outgoing>,
}

/// Everything that uses the connection.
#[derive(Default)]
pub(super) struct Shell {
    made: Vec<Made>,
    serving: Vec<(ServedKey, Arc<ServedCall>)>,
    producing: Vec<u64>,
    reading: Vec<u64>,
    pub(super) is_closed: bool,
}

impl Shell {
    /// Acts on all that the connection gives out.
    pub(super) fn settle(&mut self, connection: &mut Connection) {
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Call { key, call, streams, .. } => {
                    assert!(!self.is_closed, "a call comes after the end");
                    assert!(self.serving.iter().all(|(other, _)| *other != key), "{key:?} runs twice");
                    self.reading.extend(streams.iter());
                    if call.start() {
                        self.serving.push((key, call));
                    } else {
                        connection.complete(key, Completion::NotStarted, Charges::default());
                    }
                }
                Event::Cancel { key } => self.end_served(connection, key, Completion::Stopped),
                Event::Closed(_) => {
                    assert!(!self.is_closed, "it ends twice");
                    self.is_closed = true;
                }
                _ => {}
            }
        }
        let mut wakes = Vec::new();
        connection.take_wakes(&mut wakes);
        wakes.into_iter().for_each(Waker::wake);
        drop(connection.take_stale_wakers());
        let _ = connection.take_released();
        self.look_at_calls(connection);
    }

    /// Sends the calls that have got a permit, and takes outcomes.
    fn look_at_calls(&mut self, connection: &mut Connection) {
        for mut made in std::mem::take(&mut self.made) {
            match connection.poll_call(made.key, Waker::noop()) {
                CallProgress::Done(Outcome::Streaming(_, streams)) => self.reading.extend(streams.iter()),
                CallProgress::Done(_) => {}
                CallProgress::Admitted => {
                    if let Some(call) = made.unsent.take() {
                        self.send(connection, made.key, call);
                    }
                }
                CallProgress::Waiting => self.made.push(made),
            }
        }
    }

    fn send(&mut self, connection: &mut Connection, key: CallKey, mut call: Outgoing) {
        let is_sent = connection.send_call(key, &mut call, Waker::noop());
        // The slot of a one-way call is gone once it has been sent.
        if !is_sent || call.method != ONEWAY {
            self.producing.extend(connection.argument_streams(key).iter());
            self.made.push(Made { key, unsent: None });
        }
    }

    /// Makes a call.
    pub(super) fn call(&mut self, connection: &mut Connection, now: Instant, source: &mut Source<'_>) {
        let choices = source.byte();
        let is = |bit: u8| choices & (1 << bit) != 0;
        let origin = if is(1) { self.served(source) } else { None };
        let depth = origin.as_ref().map_or(0, |origin| origin.depth + 1);
        let timeout = Duration::from_millis(u64::from(source.byte()) * 10);
        let mut start = CallStart {
            oneway: is(0),
            depth,
            origin,
            deadline: is(2).then(|| now + timeout),
            idle_timeout: (is(3) && !is(0)).then_some(IdleTimeout { time: timeout, setting: DeadlineSetting::Config }),
            ..CallStart::default()
        };
        let (method, payload) = (if is(0) { ONEWAY } else { 1 }, Bytes::from(vec![0xc0; source.len()]));
        if is(0) && is(5) {
            return queue(connection, now, &start, payload);
        }
        if is(4) {
            let arguments = PlainArguments { method, bytes: &mut payload.into(), room: 0 };
            if let PlainStart::TwoWay(key) = connection.start_plain(now, &mut start, arguments, Waker::noop()) {
                self.made.push(Made { key, unsent: None });
            }
            return;
        }
        let streams = if is(0) { 0 } else { source.below(8).saturating_sub(5) };
        let charges = Charges::default();
        let call = Outgoing { method, metadata: Vec::new(), payload: payload.into(), streams, charges };
        match connection.begin_call(now, &mut start, Waker::noop()) {
            Ok((key, CallProgress::Admitted)) => self.send(connection, key, call),
            Ok((key, _)) => self.made.push(Made { key, unsent: Some(call) }),
            Err(_) => {}
        }
    }

    fn served(&self, source: &mut Source<'_>) -> Option<Arc<ServedCall>> {
        let which = usize::from(source.byte());
        self.serving.get(which % self.serving.len().max(1)).map(|(_, call)| call.clone())
    }

    /// A caller gives up.
    pub(super) fn cancel(&mut self, connection: &mut Connection, source: &mut Source<'_>) {
        if !self.made.is_empty() {
            let made = self.made.swap_remove(source.below(self.made.len().min(256)));
            connection.cancel_call(made.key);
        }
    }

    /// A handler ends.
    pub(super) fn complete(&mut self, connection: &mut Connection, source: &mut Source<'_>) {
        if self.serving.is_empty() {
            return;
        }
        let (key, _) = self.serving[source.below(self.serving.len().min(256))];
        let value = || Bytes::from_static(&[0xc0]);
        let completion = match source.below(8) {
            0..3 => Completion::Value(vec![0xc0; source.len()].into()),
            3 => Completion::Streaming(value().into(), source.below(4)),
            4 => Completion::Fault(vec![0xc0; source.len()].into()),
            5 => Completion::Status(Status::aborted("no")),
            6 => Completion::NotStarted,
            _ => {
                connection.end_after(key);
                Completion::Value(value().into())
            }
        };
        if let (Completion::Value(bytes), ServedKey::Call(id)) = (&completion, key) {
            if source.flag() && connection.complete_plain(id, &mut bytes.clone(), 0) {
                self.serving.retain(|(other, _)| *other != key);
                return;
            }
        }
        self.end_served(connection, key, completion);
    }

    fn end_served(&mut self, connection: &mut Connection, key: ServedKey, completion: Completion) {
        self.serving.retain(|(other, _)| *other != key);
        self.producing.extend(connection.complete(key, completion, Charges::default()).iter());
    }

    /// The producer of a stream makes items, or ends the stream.
    pub(super) fn produce(&mut self, connection: &mut Connection, now: Instant, source: &mut Source<'_>) {
        if self.producing.is_empty() {
            return;
        }
        let which = source.below(self.producing.len().min(256));
        let id = self.producing[which];
        let is_there = match source.below(8) {
            0..3 => connection.poll_stream(id, Waker::noop()).is_none_or(|room| {
                let count = room.items.min(1 + source.below(16));
                let len = source.len();
                let mut items = (0..count).map(|_| (vec![0xc0; len].into(), 0)).collect();
                connection.push_items(now, id, &mut items)
            }),
            3 => {
                let len = source.len();
                connection.poll_long_item(id, len, Waker::noop()).is_some_and(|has_room| {
                    let mut items = VecDeque::from([(vec![0xc0; len].into(), 0)]);
                    !has_room || connection.push_items(now, id, &mut items)
                })
            }
            4 => connection.poll_long(id, Waker::noop()).is_some(),
            5 => connection.idle_stream(id, Waker::noop()),
            6 => connection.watch_stream(id, Waker::noop()),
            _ => {
                let end = match source.below(3) {
                    0 => Ok(()),
                    1 => Err(StreamError::Status(Status::aborted("no"))),
                    _ => Err(StreamError::Fault(vec![0xc0; source.len()].into())),
                };
                connection.finish_stream(now, id, end);
                false
            }
        };
        if !is_there {
            self.producing.swap_remove(which);
        }
    }

    /// The reader of a stream takes what has come, or leaves.
    pub(super) fn read(&mut self, connection: &mut Connection, source: &mut Source<'_>) {
        if self.reading.is_empty() {
            return;
        }
        let which = source.below(self.reading.len().min(256));
        let id = self.reading[which];
        let is_there = match source.below(8) {
            0 => {
                connection.leave_stream(id);
                false
            }
            1 => {
                connection.set_stream_window(id, source.len());
                true
            }
            _ => read_items(connection, id),
        };
        if !is_there {
            self.reading.swap_remove(which);
        }
    }

    /// Every task ends. Calls have to have outcomes.
    pub(super) fn end(&mut self, connection: &mut Connection, now: Instant) {
        self.settle(connection);
        assert!(self.made.is_empty(), "{} calls have no outcome", self.made.len());
        for (key, _) in std::mem::take(&mut self.serving) {
            let streams = connection.complete(key, Completion::Stopped, Charges::default());
            assert!(streams.is_empty(), "streams after the end");
        }
        for id in std::mem::take(&mut self.producing) {
            assert!(connection.poll_stream(id, Waker::noop()).is_none(), "stream {id} goes on after the end");
            connection.finish_stream(now, id, Ok(()));
        }
        for id in std::mem::take(&mut self.reading) {
            let mut reads = 0..1000;
            while read_items(connection, id) {
                assert!(reads.next().is_some(), "stream {id} has no end");
            }
        }
        self.settle(connection);
    }
}

/// The method of one-way calls.
const ONEWAY: u32 = 2;

/// Takes what has come of a stream. False after its end.
fn read_items(connection: &mut Connection, id: u64) -> bool {
    let mut items = VecDeque::new();
    match connection.take_items(id, Reading::default(), &mut items, Waker::noop()) {
        Taken::Nothing => true,
        Taken::End(_) => false,
        Taken::Items => {
            let bytes = items.iter().map(|item: &Bytes| i64::try_from(item.len()).unwrap_or(0) + 32).sum();
            let count = i64::try_from(items.len()).unwrap_or(0);
            connection.count_read(id, Reading { items: count, bytes, slow: count < 16 });
            true
        }
    }
}

/// Gives a one-way call to the queue. Its length says the policy, and the key if that matters.
fn queue(connection: &mut Connection, now: Instant, start: &CallStart, payload: Bytes) {
    let policies = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Conflate, Overflow::Disconnect];
    let (overflow, key) =
        (policies[payload.len() % 4], Bytes::copy_from_slice(&[payload.len().to_be_bytes()[7] & 0x30]));
    let ttl = (payload.len() % 3 == 0).then_some(Duration::from_millis(100));
    let (depth, metadata, arguments) = (start.depth, Vec::new(), payload.into());
    let call = QueuedCall { method: &TOLD, depth, metadata, arguments, overflow, key, ttl };
    let _ = connection.queue_call(now, start, &Arc::new(call));
}
