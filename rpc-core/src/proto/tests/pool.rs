//! The sessions of one server stay within their memory pool: heavy sessions are refused, and light ones are served.

use bytes::Bytes;

use super::{
    hostile::{Liar, request_of, request_with},
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::{CloseCode, ConnectionError, MemoryLimit, Overload},
    proto::{Charges, Completion, MemoryPool, Outcome, ServedKey, StreamError},
    status::Code,
    wire::{ErrorBody, Frame, Notify, Payload, TransferId},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn inline(len: usize) -> Payload {
    Payload::Inline(vec![0xc0; len].into())
}

fn notify(len: usize) -> Frame {
    Frame::Notify(Notify { method: 1, depth: 0, metadata: Vec::new(), payload: inline(len), missed: None })
}

/// A client that sends what a test says, to a server that has joined the pool.
fn member(pool: &MemoryPool) -> Liar {
    let mut liar = Liar::new(&Config::builder().max_arguments(64 * MIB).build().unwrap());
    liar.pair.ends[SERVER].connection.join_pool(pool);
    liar
}

/// Makes these calls of 100 kB each, which stay. Gives the number of refusals.
fn fill(liar: &mut Liar, calls: std::ops::Range<u64>) -> usize {
    for id in calls {
        liar.say(&[request_of(id, inline(100_000))]);
    }
    let statuses = liar.statuses();
    assert!(statuses.iter().all(|(_, code)| *code == Code::ResourceExhausted), "{statuses:?}");
    statuses.len()
}

fn held(liar: &Liar) -> usize {
    liar.pair.ends[SERVER].connection.stats().memory_held
}

#[test]
fn the_heavy_session_is_refused_and_the_light_one_served() {
    let pool = MemoryPool::new(2 * MIB);
    let (mut heavy, mut light) = (member(&pool), member(&pool));
    let refused = fill(&mut heavy, 1..41);
    assert!((19..22).contains(&refused), "{refused} calls");
    assert!(pool.held() <= 2 * MIB, "{} bytes", pool.held());
    assert_eq!(pool.held(), held(&heavy));
    assert_eq!(fill(&mut light, 1..2), 0, "it holds nothing yet");
    assert_eq!(fill(&mut heavy, 41..42), 1);
    assert!(heavy.closed().is_none() && light.closed().is_none());

    // Completed calls make room, also for the heavy session.
    for id in 1..=5 {
        let completion = Completion::Value(Bytes::from_static(&[0xc0]).into());
        heavy.pair.ends[SERVER].connection.complete(ServedKey::Call(id), completion, Charges::default());
    }
    heavy.statuses();
    heavy.pair.ends[SERVER].take_events(heavy.pair.now);
    assert_eq!(pool.held(), held(&heavy) + held(&light));
    assert_eq!(fill(&mut heavy, 42..44), 0);
}

#[test]
fn equal_sessions_share_the_pool() {
    let pool = MemoryPool::new(2 * MIB);
    let mut members: Vec<_> = (0..4).map(|_| member(&pool)).collect();
    for round in 1..=20 {
        for member in &mut members {
            fill(member, round..round + 1);
        }
    }
    let each: Vec<_> = members.iter().map(held).collect();
    assert!(!pool.is_beyond() && each.iter().all(|held| (400_000..700_000).contains(held)), "{each:?}");
}

#[test]
fn the_status_names_the_bound() {
    let pool = MemoryPool::new(MIB);
    let mut pair = Pair::with_defaults();
    pair.ends[SERVER].connection.join_pool(&pool);
    let key = |pair: &mut Pair| pair.call(CLIENT, Call::new().payload(600_000)).unwrap();
    let keys = [key(&mut pair), key(&mut pair)];
    pair.run();
    let status = pair.status(CLIENT, keys[1]);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.execution(), crate::status::Execution::NotExecuted);
    assert!(status.message().contains("1048576 bytes (ServerBuilder::memory)"), "{status}");
}

#[test]
fn results_and_items_and_errors_of_streams_are_refused() {
    let pool = MemoryPool::new(MIB);
    let mut pair = Pair::with_defaults();
    pair.ends[CLIENT].connection.join_pool(&pool);
    let calls: Vec<_> = (0..2).map(|_| pair.call_and_arrive(CLIENT, Call::new())).collect();
    for (_, arrived) in &calls {
        pair.answer(SERVER, arrived, Completion::Value(Bytes::from(vec![7; 600 * KIB]).into()));
    }
    pair.run();
    assert!((600 * KIB..MIB).contains(&pool.held()), "{} bytes", pool.held());
    assert!(matches!(pair.outcome(CLIENT, calls[0].0), Some(Outcome::Value(_))));
    let refused = pair.outcome(CLIENT, calls[1].0);
    assert!(
        matches!(&refused, Some(Outcome::Status(status)) if status.code() == Code::ResourceExhausted),
        "{refused:?}"
    );
    pair.run();
    pair.assert_empty();

    let pool = MemoryPool::new(MIB);
    let mut liar = member(&pool);
    let streams: Vec<TransferId> = (1..=32).collect();
    liar.say(&[request_with(1, |request| request.streams = streams.clone().into())]);
    for &stream in &streams[..30] {
        liar.say(&[Frame::Item { stream, payload: inline(60_000) }]);
    }
    let fault = ErrorBody::Fault(inline(60_000));
    liar.say(&[Frame::End { stream: 32, error: Some(fault) }]);
    assert!(!pool.is_beyond() && liar.closed().is_none(), "{} bytes", pool.held());
    for stream in [30, 32] {
        let (_, end) = liar.pair.read(SERVER, stream);
        let exhausted = |status: &crate::Status| status.code() == Code::ResourceExhausted;
        assert!(matches!(&end, Some(Err(StreamError::Status(status))) if exhausted(status)), "{stream}: {end:?}");
    }
}

#[test]
fn pooled_buffers_are_freed_before_anything_is_refused() {
    let pool = MemoryPool::new(MIB);
    let mut pair = Pair::with_defaults();
    pair.ends[SERVER].connection.join_pool(&pool);
    for len in [300_000, 300_000, 900_000, 300_000] {
        let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(len));
        pair.answer_ok(SERVER, &arrived);
        pair.run();
    }
    let kept = pool.held();
    assert!((300_000..600_000).contains(&kept), "{kept} bytes are kept for payloads to come");
    assert_eq!(pair.ends[SERVER].connection.trim_memory(), 0);
    assert_eq!(pool.held(), 0);
}

#[test]
fn one_way_calls_take_the_pool_beyond_its_bound_and_the_end_of_the_session_gives_all_back() {
    let pool = MemoryPool::new(2 * MIB);
    let (mut heavy, mut light) = (member(&pool), member(&pool));
    fill(&mut light, 1..2);
    let sent = (1..=100).find(|_| {
        heavy.say(&[notify(100_000)]);
        pool.is_beyond()
    });
    assert!(sent.is_some_and(|sent| (20..24).contains(&sent)), "{sent:?}");
    assert_eq!(heavy.closed(), None);
    let [heavy_end, light_end] = [&mut heavy, &mut light].map(|liar| &mut liar.pair.ends[SERVER].connection);
    assert!(heavy_end.trim_memory() > light_end.trim_memory());
    let overload = Overload::new(MemoryLimit::Server, pool.limit(), pool.held());
    heavy_end.overload(overload);
    assert_eq!((pool.held(), pool.sessions()), (held(&light), 1));
    let now = heavy.pair.now;
    heavy.pair.ends[SERVER].take_events(now);
    assert_eq!(heavy.closed(), Some(CloseCode::TRY_AGAIN_LATER));
    assert_eq!(heavy.pair.ends[SERVER].closed, Some(ConnectionError::Overloaded(overload)));

    light.pair.ends[SERVER].connection.handle_lost(light.pair.now, ConnectionError::Lost("gone".to_owned()));
    assert_eq!((pool.held(), pool.sessions()), (0, 0));
    light.pair.ends[SERVER].connection.join_pool(&pool);
    assert_eq!(pool.sessions(), 0, "it has ended");
    let dropped = member(&pool);
    assert_eq!(pool.sessions(), 1);
    drop(dropped);
    assert_eq!(pool.sessions(), 0);
}
