//! A server's end of a link before there is a session, and what comes between the Hello and the verdict.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::hostile::{Liar, request_with};
use crate::{
    Config,
    error::{CloseCode, ConnectionError, ProtocolError, TimeLimit, Timeout},
    proto::{Connection, EarlyPackets, Event, HelloReader},
    status::{Code, Execution, Status},
    wire::{Frame, Hello, Payload, VERSION, read_packet},
};

/// A link whose client says what a test wants.
struct Stranger {
    now: Instant,
    reader: HelloReader,
}

impl Stranger {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { now, reader: HelloReader::new(config, now) }
    }

    fn put(&mut self, packet: Bytes) -> Result<Option<Box<Hello>>, ProtocolError> {
        self.reader.handle_packet(self.now, packet)
    }

    /// What comes of this packet, which must be refused.
    fn refused(&mut self, packet: Bytes) -> (CloseCode, String) {
        let error = self.put(packet).expect_err("it is refused");
        (ConnectionError::Protocol(error.clone()).close_code(), error.to_string())
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) -> Result<(), ConnectionError> {
        self.now += time;
        self.reader.handle_timeout(self.now)
    }

    /// The client says Hello, and waits for the verdict.
    fn greet(mut self) -> (Instant, Connection, EarlyPackets) {
        let hello = self.put(hello()).unwrap().expect("it is a Hello");
        let newcomer = self.reader.into_newcomer(hello).unwrap();
        assert_eq!(newcomer.check_version(), Ok(()));
        let (connection, early) = Connection::server(1, newcomer, self.now);
        (self.now, connection, early)
    }
}

/// A client's Hello, changed.
fn hello_with(set: impl FnOnce(&mut Hello)) -> Frame {
    let mut client = Connection::client(1, Config::default(), Vec::new(), Instant::now());
    let mut hello = client.take_hello().expect("a client begins with it");
    set(&mut hello);
    Frame::Hello(hello)
}

fn hello() -> Bytes {
    Liar::packet(0, 0, &[hello_with(|_| {})])
}

fn ping() -> Frame {
    Frame::Ping { token: 1 }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_hello_that_comes_alone_is_given_out() {
    let mut stranger = Stranger::new(Config::default());
    let said = hello_with(|hello| hello.credentials = b"open sesame".to_vec());
    let hello = stranger.put(Liar::packet(0, 0, &[said])).unwrap().expect("it is a Hello");
    assert_eq!((hello.version, &hello.credentials[..]), (VERSION, &b"open sesame"[..]));
    assert!(!format!("{hello:?}").contains("[111, 112"), "{hello:?}");
    let newcomer = stranger.reader.into_newcomer(hello).unwrap();
    assert_eq!(newcomer.hello().credentials, b"open sesame");
    let shown = format!("{newcomer:?}");
    assert!(shown.contains("11 bytes") && !shown.contains("[111, 112"), "{shown}");
}

#[test]
fn nothing_but_a_hello_that_comes_alone_is_taken() {
    let alone = "the handshake must come alone and unsequenced";
    let cases = [
        (Liar::packet(0, 0, &[hello_with(|_| {}), ping()]), alone),
        (Liar::packet(0, 0, &[hello_with(|_| {}), hello_with(|_| {})]), alone),
        (Liar::packet(1, 0, &[hello_with(|_| {})]), alone),
        (Liar::packet(0, 0, &[ping()]), "a Ping frame came where the handshake of the client was expected"),
        (
            Liar::packet(1, 0, &[request_with(1, |_| {})]),
            "a Request frame came where the handshake of the client was expected",
        ),
        (Liar::packet(0, 1, &[hello_with(|_| {})]), "packet 1 was acknowledged, but the last one sent is 0"),
        (Liar::packet(2, 0, &[]), "packet 2 came where packet 1 was expected"),
        (Bytes::from_static(&[0xc1; 20]), ""),
        (Bytes::new(), ""),
    ];
    for (packet, why) in cases {
        let (code, said) = Stranger::new(Config::default()).refused(packet);
        assert!(said.contains(why), "{said:?} does not say {why:?}");
        assert_eq!(code, CloseCode::PROTOCOL, "{said}");
    }
}

#[test]
fn limits_that_contradict_each_other_close_with_1002() {
    let mut stranger = Stranger::new(Config::default());
    let said = hello_with(|hello| hello.limits.packet = hello.limits.chunk);
    let hello = stranger.put(Liar::packet(0, 0, &[said])).unwrap().expect("it is a Hello");
    let error = stranger.reader.into_newcomer(hello).unwrap_err();
    assert!(error.to_string().contains("were announced"), "{error}");
    assert_eq!(ConnectionError::Protocol(error).close_code(), CloseCode::PROTOCOL);
}

#[test]
fn what_comes_before_the_hello_is_bounded_in_all() {
    let mut stranger = Stranger::new(Config::default());
    let (code, why) = stranger.refused(vec![0; 16 * 1024 + 1].into());
    assert_eq!(code, CloseCode::TOO_BIG);
    assert!(why.contains("more than 16384 bytes came before the handshake was done"), "{why}");
    // A packet without frames is no breach, but its bytes count.
    let mut stranger = Stranger::new(Config::default());
    let empty = Liar::packet(0, 0, &[]);
    for _ in 0..16 * 1024 / empty.len() {
        assert_eq!(stranger.put(empty.clone()).unwrap(), None);
    }
    assert_eq!(stranger.refused(empty).0, CloseCode::TOO_BIG);
}

#[test]
fn a_client_may_use_all_bytes_of_the_handshake_whatever_a_packet_may_have() {
    let small = Config::builder().max_packet(1024).chunk(256).max_metadata(256).build().unwrap();
    let mut stranger = Stranger::new(small);
    let said = hello_with(|hello| hello.credentials = vec![1; 5000]);
    let hello = stranger.put(Liar::packet(0, 0, &[said])).unwrap().expect("it is a Hello");
    let now = stranger.now;
    let (mut connection, mut early) = Connection::server(1, stranger.reader.into_newcomer(hello).unwrap(), now);
    let call = |seq| {
        let payload = Payload::Inline(vec![0xc0; 5000].into());
        Liar::packet(seq, 0, &[request_with(seq, |request| request.payload = payload)])
    };
    early.keep(now, call(1)).unwrap();
    connection.accept(now, 1, Vec::new(), Vec::new(), early);
    // One that was under way when the Welcome went.
    connection.handle_packet(now, call(2));
    assert_eq!(connection.ended(), None);
    let calls = std::iter::from_fn(|| connection.poll_event()).filter(|event| matches!(event, Event::Call { .. }));
    assert_eq!(calls.count(), 2);
    connection.handle_packet(now, Liar::packet(3, 0, &[]));
    connection.handle_packet(now, call(4));
    let too_long = |error: &ConnectionError| {
        matches!(error, ConnectionError::Protocol(ProtocolError::PacketTooLong { max: 1024, .. }))
    };
    assert!(connection.ended().is_some_and(too_long), "{:?}", connection.ended());
}

#[test]
fn the_time_of_an_early_call_begins_when_it_comes() {
    let (now, mut connection, mut early) = Stranger::new(Config::default()).greet();
    for (seq, deadline_ms) in [(1, 5000), (2, 2000)] {
        early
            .keep(now, Liar::packet(seq, 0, &[request_with(seq, |call| call.deadline_ms = Some(deadline_ms))]))
            .unwrap();
    }
    let verdict = now + seconds(3.0);
    connection.accept(verdict, 1, Vec::new(), Vec::new(), early);
    let mut calls = Vec::new();
    while let Some(event) = connection.poll_event() {
        if let Event::Call { call, .. } = event {
            calls.push((call.deadline, call.is_cancelled()));
        }
    }
    assert_eq!(calls, [(Some(now + seconds(5.0)), false), (Some(now + seconds(2.0)), true)]);
    // Calls that come later have their time from then on.
    let late = Liar::packet(3, 0, &[request_with(3, |call| call.deadline_ms = Some(1000))]);
    connection.handle_packet(verdict, late);
    let Some(Event::Call { call, .. }) = connection.poll_event() else { panic!("it is a call") };
    assert_eq!(call.deadline, Some(verdict + seconds(1.0)));
}

#[test]
fn a_hello_has_its_time_and_a_second_look() {
    let mut stranger = Stranger::new(Config::default());
    assert_eq!(stranger.reader.poll_timeout(), Some(stranger.now + seconds(5.0)));
    assert_eq!(stranger.pass(seconds(4.9)), Ok(()));
    assert_eq!(stranger.pass(seconds(0.2)), Ok(()), "the first look");
    assert!(stranger.reader.poll_timeout().is_some());
    let error = stranger.pass(seconds(0.2)).unwrap_err();
    assert!(
        error.to_string().contains("no Hello came from the client within 5s (Config::hello_timeout of the server)"),
        "{error}"
    );
    assert_eq!(error.close_code(), CloseCode::TIMEOUT);
}

#[test]
fn a_hello_that_came_in_time_is_read_at_the_second_look() {
    let mut stranger = Stranger::new(Config::default());
    assert_eq!(stranger.pass(seconds(6.0)), Ok(()));
    assert!(stranger.put(hello()).unwrap().is_some());
}

#[test]
fn a_message_that_does_not_grow_is_given_up() {
    let hello_timeout = seconds(1000.0);
    let mut stranger = Stranger::new(Config::builder().hello_timeout(hello_timeout).build().unwrap());
    let begun = stranger.now;
    let mut passed = 0;
    let error = loop {
        passed += 1;
        stranger.reader.handle_activity(stranger.now, passed, true);
        if let Err(error) = stranger.pass(seconds(1.0)) {
            break error;
        }
        assert!(passed < 100);
    };
    assert!(
        error.to_string().contains("a message has begun, and within 30s it neither grew by 16 KiB nor ended"),
        "{error}"
    );
    assert!(stranger.now - begun >= seconds(30.0));
    // One that has ended is judged no more.
    let mut stranger = Stranger::new(Config::builder().hello_timeout(hello_timeout).build().unwrap());
    stranger.reader.handle_activity(stranger.now, 1, true);
    stranger.reader.handle_activity(stranger.now, 2, false);
    assert_eq!(stranger.pass(seconds(100.0)), Ok(()));
}

#[test]
fn control_frames_have_one_budget_before_the_hello_and_after_it() {
    let mut stranger = Stranger::new(Config::default());
    assert_eq!(stranger.reader.handle_controls(stranger.now, 10), Ok(()));
    let error = stranger.reader.handle_controls(stranger.now, 11).unwrap_err();
    assert!(error.to_string().contains("10 at once and one a second after that"), "{error}");
    assert_eq!(ConnectionError::Protocol(error).close_code(), CloseCode::PROTOCOL);

    let mut stranger = Stranger::new(Config::default());
    stranger.reader.handle_controls(stranger.now, 10).unwrap();
    let (now, mut connection, _early) = stranger.greet();
    assert!(connection.handle_controls(now, 10), "none is new");
    assert!(connection.handle_controls(now + seconds(1.0), 11));
    assert!(!connection.handle_controls(now + seconds(1.0), 12));
    assert_eq!(connection.ended().map(ConnectionError::close_code), Some(CloseCode::PROTOCOL));
}

#[test]
fn a_client_of_another_version_is_told() {
    let mut stranger = Stranger::new(Config::default());
    let said = hello_with(|hello| hello.version = VERSION + 1);
    let hello = stranger.put(Liar::packet(0, 0, &[said])).unwrap().expect("it is a Hello");
    let newcomer = stranger.reader.into_newcomer(hello).unwrap();
    let status = newcomer.check_version().expect_err("it is of another version");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let (packet, error) = newcomer.refuse(status);
    assert_eq!(error.close_code(), CloseCode::REFUSED);
    let refusal = refusal(packet);
    assert_eq!(refusal.execution(), Execution::NotExecuted);
    assert_eq!(refusal.message(), "the client speaks version 2 of the protocol, this server speaks version 1");
}

fn refusal(packet: Bytes) -> Status {
    let (header, mut frames) = read_packet(packet).unwrap();
    assert_eq!((header.seq, header.ack), (0, 0));
    let Some(Ok(Frame::Welcome(welcome))) = frames.next() else { panic!("it is a Welcome") };
    assert!(frames.next().is_none(), "it comes alone");
    welcome.refusal.expect("it refuses")
}

#[test]
fn a_refusal_is_the_same_before_the_session_and_in_it() {
    let status = || Status::permission_denied("x".repeat(50_000)).with_details(vec![1]);
    let mut stranger = Stranger::new(Config::default());
    let hello = stranger.put(hello()).unwrap().expect("it is a Hello");
    let (packet, error) = stranger.reader.into_newcomer(hello).unwrap().refuse(status());
    let (now, mut connection, _early) = Stranger::new(Config::default()).greet();
    connection.refuse(status());
    assert_eq!(connection.ended(), Some(&error));
    assert_eq!(connection.poll_transmit(now), Some(packet));
}

#[test]
fn early_packets_are_taken_in_after_the_verdict_and_in_their_order() {
    let (now, mut connection, mut early) = Stranger::new(Config::default()).greet();
    for seq in 1..=3 {
        early.keep(now, Liar::packet(seq, 0, &[request_with(10 * seq, |_| {})])).unwrap();
    }
    assert_eq!(connection.poll_transmit(now), None, "nothing is said before the verdict");
    connection.accept(now, 7, Vec::new(), Vec::new(), early);
    let mut calls = Vec::new();
    while let Some(event) = connection.poll_event() {
        let Event::Call { call, .. } = event else { panic!("{event:?}") };
        calls.extend(call.id);
    }
    assert_eq!(calls, [10, 20, 30]);
    let welcome = read_packet(connection.poll_transmit(now).unwrap()).unwrap().1.next();
    assert!(matches!(&welcome, Some(Ok(Frame::Welcome(welcome))) if welcome.session == 7), "{welcome:?}");
}

#[test]
fn what_is_kept_until_the_verdict_is_bounded() {
    let (now, _connection, mut early) = Stranger::new(Config::default()).greet();
    let (mut kept, mut counted) = (0, hello().len());
    let error = loop {
        kept += 1;
        let packet = Liar::packet(kept, 0, &[]);
        counted += packet.len() + 32;
        if let Err(error) = early.keep(now, packet) {
            break error;
        }
        assert!(counted <= 16 * 1024, "{kept} packets, each of which counts 32 bytes beside its own");
    };
    assert!(counted > 16 * 1024, "{kept} packets");
    assert_eq!(ConnectionError::Protocol(error).close_code(), CloseCode::TOO_BIG);
    let (now, _connection, mut early) = Stranger::new(Config::default()).greet();
    early.keep(now, vec![0; 16 * 1024 - hello().len() - 32].into()).unwrap();
    let error = early.keep(now, Bytes::new()).unwrap_err();
    assert!(error.to_string().contains("more than 16384 bytes came before the handshake was done"), "{error}");
}

#[test]
fn a_second_hello_is_a_breach_once_the_client_is_in() {
    let (now, mut connection, mut early) = Stranger::new(Config::default()).greet();
    early.keep(now, hello()).unwrap();
    connection.accept(now, 1, Vec::new(), Vec::new(), early);
    let Some(ConnectionError::Protocol(error)) = connection.ended() else { panic!("it is a breach") };
    assert!(error.to_string().contains("a second handshake came on an open connection"), "{error}");
}

#[test]
fn the_time_of_the_hello_goes_on_until_the_verdict() {
    let mut stranger = Stranger::new(Config::default());
    stranger.pass(seconds(3.0)).unwrap();
    let (now, mut connection, _early) = stranger.greet();
    assert_eq!(connection.poll_timeout(), Some(now + seconds(2.0)));
    connection.handle_timeout(now + seconds(2.0));
    assert_eq!(connection.ended(), None, "the first look");
    connection.handle_timeout(now + seconds(2.2));
    let timeout = Timeout::new(TimeLimit::Opening, seconds(5.0));
    assert_eq!(connection.ended(), Some(&ConnectionError::TimedOut(timeout)));
}

#[test]
fn a_drain_before_the_verdict_ends_at_once() {
    let (now, mut connection, early) = Stranger::new(Config::default()).greet();
    connection.drain(now, "bye");
    assert_eq!(connection.ended(), Some(&ConnectionError::ShutDown));
    connection.accept(now, 1, Vec::new(), Vec::new(), early);
    assert_eq!(connection.poll_transmit(now), None, "the verdict comes too late");
}
