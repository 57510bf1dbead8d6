//! Streams of numbered items, at one end of a session.

use std::{collections::VecDeque, task::Waker, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::ledger::Ledger;
use crate::{
    proto::{Connection, Reading, Taken},
    wire::{Streams, TransferId},
};

/// A stream that is produced, and has not been finished.
#[derive(Debug)]
struct Produced {
    id: TransferId,
    /// The number of the stream in the whole simulation, which each of its items says.
    number: u64,
}

/// A stream that is read, and has not ended.
#[derive(Debug)]
struct Read {
    id: TransferId,
    /// Known from the first item on.
    number: Option<u64>,
    items: u32,
}

#[derive(Debug, Default)]
pub(super) struct EndStreams {
    produced: Vec<Produced>,
    read: Vec<Read>,
}

impl EndStreams {
    /// This end produces these streams.
    pub(super) fn produce_all(&mut self, ids: &Streams, ledger: &mut Ledger) {
        self.produced.extend(ids.iter().map(|id| Produced { id: *id, number: ledger.begin_stream() }));
    }

    /// This end reads these streams.
    pub(super) fn read_all(&mut self, ids: &Streams) {
        self.read.extend(ids.iter().map(|id| Read { id: *id, number: None, items: 0 }));
    }

    /// Items are made for one of the streams, as far as there is room.
    pub(super) fn produce(
        &self,
        connection: &mut Connection,
        now: Instant,
        (which, count, len): (usize, u32, usize),
        ledger: &mut Ledger,
    ) {
        let Some(Produced { id, number }) = self.produced.get(which % self.produced.len().max(1)) else { return };
        for _ in 0..count {
            let mut item = BytesMut::new();
            item.put_u64(*number);
            item.put_u32(ledger.items(*number));
            item.resize(len.max(12), 0);
            let mut items = VecDeque::from([(item.freeze().into(), 0)]);
            connection.push_items(now, *id, &mut items);
            if !items.is_empty() {
                return;
            }
            ledger.produce(*number);
        }
    }

    /// The end of one of the streams.
    pub(super) fn finish(&mut self, connection: &mut Connection, now: Instant, which: usize, ledger: &mut Ledger) {
        if self.produced.is_empty() {
            return;
        }
        let Produced { id, number } = self.produced.swap_remove(which % self.produced.len());
        ledger.finish(number);
        connection.finish_stream(now, id, Ok(()));
    }

    pub(super) fn finish_all(&mut self, connection: &mut Connection, now: Instant, ledger: &mut Ledger) {
        while !self.produced.is_empty() {
            self.finish(connection, now, 0, ledger);
        }
    }

    /// Reads what has come of one of the streams.
    pub(super) fn read(&mut self, connection: &mut Connection, which: usize, ledger: &Ledger) {
        if self.read.is_empty() {
            return;
        }
        let which = which % self.read.len();
        if self.read[which].has_ended(connection, ledger) {
            self.read.swap_remove(which);
        }
    }

    pub(super) fn read_to_the_end(&mut self, connection: &mut Connection, ledger: &Ledger) {
        self.read.retain_mut(|read| !read.has_ended(connection, ledger));
    }

    /// The reader of one of the streams leaves.
    pub(super) fn leave(&mut self, connection: &mut Connection, which: usize) {
        if !self.read.is_empty() {
            let read = self.read.swap_remove(which % self.read.len());
            connection.leave_stream(read.id);
        }
    }

    pub(super) fn is_nothing_read(&self) -> bool {
        self.read.is_empty()
    }
}

impl Read {
    /// Takes what has come. Items come in their order, and each once.
    fn has_ended(&mut self, connection: &mut Connection, ledger: &Ledger) -> bool {
        loop {
            let mut items: VecDeque<Bytes> = VecDeque::new();
            match connection.take_items(self.id, Reading::default(), &mut items, Waker::noop()) {
                Taken::Items => {
                    for item in &items {
                        let number = u64::from_be_bytes(item[..8].try_into().unwrap());
                        assert_eq!(*self.number.get_or_insert(number), number, "an item of another stream");
                        assert_eq!(u32::from_be_bytes(item[8..12].try_into().unwrap()), self.items);
                        self.items += 1;
                    }
                    let bytes = items.iter().map(|item| i64::try_from(item.len()).unwrap() + 32).sum();
                    let items = i64::try_from(items.len()).unwrap();
                    connection.count_read(self.id, Reading { items, bytes, slow: items < 16 });
                }
                Taken::Nothing => return false,
                Taken::End(end) => {
                    if let (Ok(()), Some(number)) = (end, self.number) {
                        assert_eq!(ledger.finished(number), Some(self.items), "all items of a stream that ended well");
                    }
                    return true;
                }
            }
        }
    }
}
