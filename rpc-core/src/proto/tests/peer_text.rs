//! A peer's text is cut on arrival, and shared by all calls that it concerns.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    hostile::Liar,
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::{CloseCode, ConnectionError, ProtocolError},
    status::{Code, Execution, Status},
    text::MAX_PEER_TEXT,
    wire::{ErrorBody, Frame, Notify, Payload, Welcome},
};

const WAITING: usize = 1000;

/// The texts that many calls were told: how many different allocations there are, and their bytes.
fn told(statuses: &[Status]) -> (usize, usize) {
    let texts: HashSet<_> = statuses.iter().map(|status| (status.message().as_ptr(), status.message().len())).collect();
    (texts.len(), texts.iter().map(|(_, len)| len).sum())
}

#[test]
fn a_long_goaway_is_cut_and_shared_by_all_calls_that_wait() {
    let mut pair = Pair::open(&Config::builder().max_calls(1).build().unwrap());
    pair.call_and_arrive(SERVER, Call::new());
    let waiting: Vec<_> = (0..WAITING).map(|_| pair.call(SERVER, Call::new()).unwrap()).collect();
    let mut liar = Liar::at(pair);
    liar.say_apart(&[Frame::GoAway { last_seq: 9, message: "ä".repeat(60 * 1024), after_ms: 0 }]);
    assert_eq!(liar.closed(), None);
    let statuses: Vec<_> = waiting.into_iter().map(|key| liar.pair.status(SERVER, key)).collect();
    assert!(statuses.iter().all(|status| status.execution() == Execution::NotExecuted));
    assert!(statuses[0].message().ends_with('ä'));
    let (count, bytes) = told(&statuses);
    assert!(count == 1 && bytes <= MAX_PEER_TEXT + 100, "{bytes} bytes in {count} texts");
}

#[test]
fn the_stamp_of_an_idempotent_method_copies_no_text() {
    let status = Status::unavailable("x".repeat(MAX_PEER_TEXT)).with_details(vec![1; 100]);
    let stamped = status.clone().with_idempotent(true).not_executed();
    assert_eq!(stamped.message().as_ptr(), status.message().as_ptr());
    assert_eq!(stamped.details().as_ptr(), status.details().as_ptr());
    assert_eq!((status.execution(), stamped.execution()), (Execution::Unknown, Execution::NotExecuted));
}

#[test]
fn the_reason_of_an_end_is_shared_by_all_calls_that_it_ends() {
    let reason = "long ".repeat(20_000);
    let ends = [
        ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: reason.as_str().into() },
        ConnectionError::Protocol(ProtocolError::transport(CloseCode::PROTOCOL, reason.as_str())),
        ConnectionError::Lost(reason.clone()),
    ];
    for end in ends {
        let mut pair = Pair::open(&Config::builder().max_calls(500).build().unwrap());
        let calls: Vec<_> = (0..WAITING).map(|_| pair.call(CLIENT, Call::new()).unwrap()).collect();
        pair.run();
        pair.ends[CLIENT].connection.handle_lost(pair.now, end);
        let statuses: Vec<_> = calls.into_iter().map(|key| pair.status(CLIENT, key)).collect();
        let waited = statuses.iter().filter(|status| status.execution() == Execution::NotExecuted).count();
        assert_eq!(waited, WAITING - 500);
        let (count, bytes) = told(&statuses);
        assert!(count <= 2 && bytes <= 2 * (reason.len() + 100), "{bytes} bytes in {count} texts");
    }
}

#[test]
fn long_statuses_are_cut_on_arrival() {
    let long = Status::new(Code::Aborted, "ä".repeat(30_000));
    let detailed = Status::new(Code::Aborted, "short").with_details(vec![7; 30_000]);
    let fits = Status::new(Code::Aborted, "short").with_details(vec![7; MAX_PEER_TEXT - 5]);
    for (status, message, details) in [(&long, MAX_PEER_TEXT, 0), (&detailed, 5, 0), (&fits, 5, MAX_PEER_TEXT - 5)] {
        let mut pair = Pair::with_defaults();
        let (key, _) = pair.call_and_arrive(SERVER, Call::new());
        let mut liar = Liar::at(pair);
        liar.say(&[Frame::Error { id: key.id(), error: ErrorBody::Status(status.clone()) }]);
        assert_eq!(liar.closed(), None);
        let came = liar.pair.status(SERVER, key);
        assert_eq!((came.message().len(), came.details().len()), (message, details));
    }
}

#[test]
fn a_long_refusal_is_cut_on_arrival() {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    let limits = pair.ends[CLIENT].connection.peer_limits().clone();
    let refusal = Some(Status::unauthenticated("x".repeat(12_000)));
    let welcome = Welcome { refusal, ..Welcome::new(limits, Vec::new(), 1) };
    pair.ends[CLIENT].inbox.push_back(Liar::packet(0, 0, &[Frame::Welcome(Box::new(welcome))]));
    pair.receive(CLIENT);
    let Some(ConnectionError::Refused(status)) = &pair.ends[CLIENT].closed else { panic!("not refused") };
    assert_eq!((status.code(), status.message().len()), (Code::Unauthenticated, MAX_PEER_TEXT));
}

#[test]
fn one_way_calls_beyond_a_limit_are_counted_and_reported_to_the_shell() {
    let notify = |depth, metadata| {
        let payload = Payload::Inline(Bytes::from_static(&[0x90]));
        Frame::Notify(Notify { method: 9, depth, metadata, payload, missed: None })
    };
    let cases = [
        (notify(99, Vec::new()), "deep"),
        (notify(0, vec![("key".to_owned(), "x".repeat(9000))]), "max_metadata"),
        (notify(0, Vec::new()), "announced limit of 1"),
    ];
    for (frame, why) in cases {
        let mut liar = Liar::new(&Config::builder().max_oneway_calls(1).build().unwrap());
        // One call is being served.
        liar.say(&[notify(0, Vec::new())]);
        assert_eq!(liar.pair.ends[SERVER].connection.take_refused_oneway(), None);
        liar.say(&[frame]);
        assert_eq!(liar.closed(), None);
        let connection = &mut liar.pair.ends[SERVER].connection;
        let refused = connection.take_refused_oneway().expect("it is told");
        assert_eq!((refused.method, connection.oneway_refused()), (9, 1));
        assert!(refused.status.message().contains(why), "{}", refused.status);
        assert_eq!(connection.take_refused_oneway(), None);
    }
}
