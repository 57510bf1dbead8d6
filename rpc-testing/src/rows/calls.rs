//! Rows 16 to 36: calls, payloads, and links that stall.

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{ErrorBody, Frame, Payload, Streams},
    Code, Status,
};

use super::{
    CALLS, Row,
    liar::{BINARY, FIN, Liar},
};

const MIB: usize = 1 << 20;
const NO_ARGUMENTS: &[u8] = &[0x90];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = payloads();
    rows.extend(numbers());
    rows.extend(handlers());
    rows.extend(links());
    rows
}

/// Arrays, maps, and variants of an enum, that nest too deep by one and by far.
fn nested() -> Vec<Vec<u8>> {
    let openings = [&[0x91][..], &[0x81, 1], &[0x81, 0xa1, b'v']];
    let nested = |opening: &[u8], depth| [&opening.repeat(depth)[..], &[0xc0]].concat();
    openings.map(|opening| [129, 15_000].map(|depth| nested(opening, depth))).concat()
}

/// Arrays, maps, texts and bytes that say that they are as long as can be.
fn endless() -> Vec<Vec<u8>> {
    [0xdd, 0xdf, 0xdb, 0xc6].map(|marker| vec![marker, 0xff, 0xff, 0xff, 0xff, 0]).to_vec()
}

/// Each of these as the one argument of a call.
fn arguments(values: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    values.into_iter().map(|value| [&[0x91], &value[..]].concat()).collect()
}

fn payloads() -> Vec<Row> {
    vec![
        Row::new(16, "arguments that nest 129 and 15,000 deep", |liar| {
            Box::pin(async move {
                liar.greet().await;
                // The arguments are an array themselves, which counts.
                liar.fails("echo", &arguments(nested()), Code::OutOfRange).await;
                liar.lives().await;
            })
        }),
        Row::new(16, "a result that nests 129 and 15,000 deep", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.answers(&nested(), Code::OutOfRange).await;
                liar.lives().await;
            })
        }),
        Row::new(17, "lengths of 2^32 - 1", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.fails("echo", &arguments(endless()), Code::InvalidArgument).await;
                liar.answers(&endless(), Code::Internal).await;
                liar.lives().await;
            })
        })
        .allocates(2 * MIB),
        Row::new(18, "a mebibyte of elements of one byte each", |liar| {
            Box::pin(async move {
                liar.greet().await;
                for (id, element) in [(1, 0x90), (2, 0x00)] {
                    let mut arguments = vec![0x91, 0xdd, 0, 0x10, 0, 0];
                    arguments.resize(6 + MIB, element);
                    liar.announces(id, "sort", &arguments).await;
                    assert_eq!(liar.refused(id).await, Code::OutOfRange);
                }
                liar.lives().await;
            })
        })
        .long()
        .allocates(24 * MIB),
        Row::new(19, "bytes behind a value, 0xc1, text that is not UTF-8, and a field twice", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let texts = [&[0x91, 0xa1, b'x', 0][..], &[0x91, 0xc1], &[0x91, 0xa1, 0xff], &[]];
                liar.fails("echo", &texts.map(<[u8]>::to_vec), Code::InvalidArgument).await;
                let name = b"\xa4name\xa1x";
                let twice = [&[0x91, 0x82][..], name, name].concat();
                liar.fails("sign", &[twice], Code::InvalidArgument).await;
                let texts = [&[0xa1, b'x', 0][..], &[0xc1], &[0xa1, 0xff], &[]];
                liar.answers(&texts.map(<[u8]>::to_vec), Code::Internal).await;
                liar.lives().await;
            })
        }),
        Row::new(21, "an unknown method, and arguments and results of other types", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.fails("nothing", &[NO_ARGUMENTS.to_vec()], Code::Unimplemented).await;
                let others = [&[0x91, 1][..], &[0x90], &[0xc0], &[0x91, 0x80]];
                liar.fails("echo", &others.map(<[u8]>::to_vec), Code::InvalidArgument).await;
                liar.answers(&[vec![1], vec![0xc0], vec![0x80]], Code::Internal).await;
                liar.lives().await;
            })
        }),
    ]
}

fn cancel(id: u64) -> Frame {
    Frame::Cancel { id, expired: false }
}

/// A completion of a call.
fn stray(id: u64) -> Frame {
    Frame::Error { id, error: ErrorBody::Status(Status::internal("a lie")) }
}

fn numbers() -> Vec<Row> {
    vec![
        Row::new(22, "the number of a call that is still live", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let twice = [liar.call(1, "hold", NO_ARGUMENTS), liar.call(1, "hold", NO_ARGUMENTS)];
                liar.say(&twice).await;
                liar.closed(1002).await;
            })
        }),
        Row::new(23, "a hundred completions of calls that were never made", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.say(&(1..=100).map(|id| stray(id << 20)).collect::<Vec<_>>()).await;
                liar.lives().await;
            })
        }),
        Row::new(23, "a hundred and one", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.say(&(0..=100).map(|id| stray(id << 20)).collect::<Vec<_>>()).await;
                liar.closed(1002).await;
            })
        }),
        Row::new(24, "a call is completed again and again", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let callback = liar.asked(1).await;
                liar.say(&[answer(callback)]).await;
                assert!(matches!(liar.next().await, Frame::Response { id: 1, .. }));
                liar.say(&vec![answer(callback); 100]).await;
                let echo = liar.call(2, "echo", &[0x91, 0xa0]);
                liar.say(&[echo]).await;
                assert!(matches!(liar.next().await, Frame::Response { id: 2, .. }));
                liar.say(&[answer(callback)]).await;
                liar.closed(1002).await;
            })
        }),
        Row::new(25, "a call more than is taken at once", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let calls: Vec<_> = (1..=CALLS + 1).map(|id| liar.call(id, "hold", NO_ARGUMENTS)).collect();
                liar.say(&calls).await;
                assert_eq!(liar.refused(CALLS + 1).await, Code::ResourceExhausted);
                liar.say(&(1..=CALLS).map(cancel).collect::<Vec<_>>()).await;
                liar.hears_completions(CALLS).await;
                liar.lives().await;
            })
        }),
        Row::new(25, "a thousand and one calls more than are taken at once", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let calls: Vec<_> = (1..=CALLS + 1001).map(|id| liar.call(id, "hold", NO_ARGUMENTS)).collect();
                for calls in calls.chunks(500) {
                    liar.say(calls).await;
                }
                liar.closed(1002).await;
            })
        }),
        Row::new(26, "calls that are made and cancelled", |liar| {
            Box::pin(async move {
                liar.greet().await;
                for round in 0..500 {
                    let ids = (1..=CALLS).map(|id| round * CALLS + id);
                    let both = ids.flat_map(|id| [liar.call(id, "hold", NO_ARGUMENTS), cancel(id)]);
                    let both: Vec<_> = both.collect();
                    liar.say(&both).await;
                    liar.hears_completions(CALLS).await;
                }
                liar.lives().await;
            })
        })
        .long()
        .allocates(64 * MIB),
        Row::new(27, "cancels of a call that is complete and of none", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let echo = liar.call(1, "echo", &[0x91, 0xa0]);
                liar.say(&[echo]).await;
                assert!(matches!(liar.next().await, Frame::Response { id: 1, .. }));
                liar.say(&(1..=900).map(cancel).collect::<Vec<_>>()).await;
                liar.lives().await;
            })
        }),
    ]
}

fn answer(id: u64) -> Frame {
    let payload = Payload::Inline(Bytes::from_static(b"\xa2ok"));
    Frame::Response { id, payload, streams: Streams::default() }
}

fn handlers() -> Vec<Row> {
    vec![
        Row::new(31, "a handler that panics, and a result that does not serialize", |liar| {
            Box::pin(async move {
                liar.greet().await;
                for method in ["panic", "muddle", "panic", "muddle"] {
                    liar.fails(method, &[NO_ARGUMENTS.to_vec()], Code::Internal).await;
                }
                liar.lives().await;
            })
        }),
        Row::new(32, "a handler that does not end", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let mut call = liar.call(1, "hold", NO_ARGUMENTS);
                if let Frame::Request(call) = &mut call {
                    call.deadline_ms = Some(100);
                }
                liar.say(&[call]).await;
                assert_eq!(liar.refused(1).await, Code::DeadlineExceeded);
                liar.lives().await;
            })
        })
        .long(),
        Row::new(32, "a callback that is not answered", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let mut call = liar.call(1, "ask", NO_ARGUMENTS);
                if let Frame::Request(call) = &mut call {
                    call.deadline_ms = Some(100);
                }
                liar.say(&[call]).await;
                let Frame::Request(callback) = liar.next().await else { panic!("the victim calls back") };
                let (mut is_told, mut has_ended) = (false, false);
                while !is_told || !has_ended {
                    match liar.next().await {
                        Frame::Cancel { id, .. } if id == callback.id => is_told = true,
                        Frame::Error { id: 1, error: ErrorBody::Status(status) } => {
                            assert_eq!(status.code(), Code::DeadlineExceeded);
                            has_ended = true;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                liar.say(&[answer(callback.id)]).await;
                liar.lives().await;
            })
        })
        .long(),
        Row::new(33, "calls of depth 16 and 17", |liar| {
            Box::pin(async move {
                liar.greet().await;
                for depth in [16, 17] {
                    let mut call = liar.call(depth, "echo", &[0x91, 0xa0]);
                    if let Frame::Request(call) = &mut call {
                        call.depth = u32::try_from(depth).unwrap();
                    }
                    liar.say(&[call]).await;
                    if depth == 16 {
                        assert!(matches!(liar.next().await, Frame::Response { id: 16, .. }));
                    }
                }
                assert_eq!(liar.refused(17).await, Code::FailedPrecondition);
                liar.lives().await;
            })
        }),
        Row::new(34, "every permit waits for a callback that is not answered", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let calls: Vec<_> = (1..=CALLS).map(|id| liar.call(id, "ask", NO_ARGUMENTS)).collect();
                liar.say(&calls).await;
                // One callback has the permit of its depth, and another one the general permit.
                let (mut callbacks, mut failed) = (Vec::new(), 0);
                while failed < CALLS - 2 {
                    match liar.next().await {
                        Frame::Request(callback) => callbacks.push(answer(callback.id)),
                        Frame::Error { error: ErrorBody::Status(status), .. } => {
                            assert_eq!(status.code(), Code::ResourceExhausted);
                            failed += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(callbacks.len(), 2);
                liar.say(&callbacks).await;
                liar.hears_completions(2).await;
                liar.lives().await;
            })
        })
        .long(),
    ]
}

fn links() -> Vec<Row> {
    vec![
        Row::new(28, "a peer that causes answers and reads none", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.causes_answers().await;
                liar.is_given_up(false).await;
            })
        })
        .hasty(),
        Row::new(29, "a peer that causes answers and reads a byte now and then", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.causes_answers().await;
                liar.is_given_up(true).await;
            })
        })
        .hasty(),
        Row::new(35, "a link that ends within a frame, under calls", |liar| {
            Box::pin(async move {
                liar.greet().await;
                let calls: Vec<_> = (2..=CALLS).map(|id| liar.call(id, "hold", NO_ARGUMENTS)).collect();
                liar.say(&calls).await;
                // A call that the victim makes itself is under way as well.
                liar.asked(1).await;
                let half = liar.header(FIN | BINARY, 100);
                liar.raw(&half).await;
            })
        }),
        Row::new(36, "a peer that falls silent", |liar| {
            Box::pin(async move {
                liar.greet().await;
                liar.closed(4408).await;
            })
        })
        .hasty(),
    ]
}

impl Liar {
    /// Announces the arguments of a call, and sends them in chunks.
    async fn announces(&mut self, id: u64, method: &str, arguments: &[u8]) {
        let mut call = self.call(id, method, &[]);
        if let Frame::Request(call) = &mut call {
            call.payload = Payload::announced(id, arguments.len() as u64);
        }
        self.say(&[call]).await;
        for chunk in arguments.chunks(64 * 1024) {
            self.say(&[Frame::Chunk { transfer: id, data: Bytes::copy_from_slice(chunk).into() }]).await;
        }
    }

    /// Makes a call in which the victim calls back. Returns the number of the callback.
    pub(super) async fn asked(&mut self, id: u64) -> u64 {
        let call = self.call(id, "ask", NO_ARGUMENTS);
        self.say(&[call]).await;
        match self.next().await {
            Frame::Request(callback) => callback.id,
            other => panic!("{other:?}"),
        }
    }

    /// Answers calls of the victim with these results, and asserts that each of these calls fails with this code.
    async fn answers(&mut self, results: &[Vec<u8>], code: Code) {
        for (id, result) in (1..).zip(results) {
            let callback = self.asked(id).await;
            let payload = Payload::Inline(Bytes::copy_from_slice(result));
            self.say(&[Frame::Response { id: callback, payload, streams: Streams::default() }]).await;
            assert_eq!(self.refused(id).await, code, "a result of {} bytes", result.len());
        }
    }

    /// Waits for as many ends of calls.
    async fn hears_completions(&mut self, count: u64) {
        for _ in 0..count {
            match self.next().await {
                Frame::Error { .. } | Frame::Response { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Makes calls of a method that is not there until no more bytes are taken, or there are answers of many MiB.
    async fn causes_answers(&mut self) {
        for packet in 0..300 {
            let calls: Vec<_> = (1..=500).map(|id| self.call(packet * 500 + id, "nothing", NO_ARGUMENTS)).collect();
            self.say(&calls).await;
        }
    }
}
