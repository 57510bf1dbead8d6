//! Every field of `Config` over its whole range: it works, or it is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::{prelude::*, sample::select};
use rpc_core::{
    Code, Config, ConfigBuilder, ConfigError, ConfigValue, ConnectionInfo, Execution, Hosting, Session, Status,
    Streaming,
    session::{self, Handshake, Transport, WebSocket, memory},
};

#[rpc_core::service]
trait Gauge {
    async fn same(&self, number: u32) -> Result<u32, Status>;
    async fn double(&self, bytes: &[u8]) -> Result<Vec<u8>, Status>;
    #[rpc(oneway)]
    async fn note(&self, bytes: &[u8]);
}

struct Meter;

impl Gauge for Meter {
    async fn same(&self, number: u32) -> Result<u32, Status> {
        Ok(number)
    }

    async fn double(&self, bytes: &[u8]) -> Result<Vec<u8>, Status> {
        Ok([bytes, bytes].concat())
    }

    async fn note(&self, _: &[u8]) {}
}

/// Fields by name, with what sets them.
enum Set {
    Size(fn(ConfigBuilder, usize) -> ConfigBuilder),
    Count(fn(ConfigBuilder, u32) -> ConfigBuilder),
    Time(fn(ConfigBuilder, Duration) -> ConfigBuilder),
}

macro_rules! fields {
    ($($kind:ident { $($name:ident)* })*) => {
        const FIELDS: &[(&str, Set)] = &[$($((stringify!($name), Set::$kind(ConfigBuilder::$name)),)*)*];
    };
}

fields! {
    Size {
        max_packet max_handshake max_payload max_assembly max_arguments max_payload_nesting max_payload_values
        max_payload_containers chunk stream_window max_stream_window streams_window outbox_soft outbox_hard
        unacked_bulk max_unacked_bulk max_metadata session_memory max_no_cancel read_buffer
        replay_buffer max_queued_calls max_queued_bytes
    }
    Count { max_calls nested_calls max_oneway_calls max_depth max_streams stream_items }
    Time {
        call_timeout nested_wait upgrade_timeout hello_timeout close_timeout hook_timeout keepalive keepalive_timeout
        wake_check progress_timeout write_timeout drain_grace drain_timeout reconnect_spread resume_window
        detached_turn queue_timeout slow_poll
    }
}

fn set(config: ConfigBuilder, field: usize, raw: u64) -> ConfigBuilder {
    match FIELDS[field].1 {
        Set::Size(set) => set(config, usize::try_from(raw).unwrap_or(usize::MAX)),
        Set::Count(set) => set(config, u32::try_from(raw).unwrap_or(u32::MAX)),
        // The greatest is for ever.
        Set::Time(set) => set(config, if raw == u64::MAX { Duration::MAX } else { Duration::from_millis(raw) }),
    }
}

fn obey(config: ConfigBuilder, name: &str, value: ConfigValue) -> ConfigBuilder {
    let (_, set) = FIELDS.iter().find(|(field, _)| *field == name).expect("a field that there is");
    match (set, value) {
        (Set::Size(set), ConfigValue::Count(count)) => set(config, usize::try_from(count).unwrap()),
        (Set::Count(set), ConfigValue::Count(count)) => set(config, u32::try_from(count).unwrap()),
        (Set::Time(set), ConfigValue::Time(time)) => set(config, time),
        (_, other) => panic!("{name} cannot be {other}"),
    }
}

/// Does what errors say until there are none, as a patient person would.
fn mended(mut config: ConfigBuilder) -> Config {
    for _ in 0..100 {
        let error = match config.clone().build() {
            Ok(config) => return config,
            Err(error) => error,
        };
        let (names, value) = match &error {
            ConfigError::TooSmall { field, least, .. } => (vec![*field], *least),
            ConfigError::TooLarge { field, greatest, .. } => (vec![*field], *greatest),
            ConfigError::Unfit { field, least, beside, .. } => {
                ([*field].into_iter().chain(beside.iter().map(|(other, _)| *other)).collect(), *least)
            }
            other => panic!("an unknown error: {other}"),
        };
        assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}");
        config = obey(config, error.field(), value);
    }
    panic!("what errors advise never works");
}

/// Both ends of a session, over memory or over WebSocket.
async fn open(server: &Config, client: &Config, websocket: bool) -> (Session, Session) {
    if websocket {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (near, far) =
            (WebSocket::server(near, [][..].into(), server), WebSocket::client(far, [][..].into(), client));
        open_over(near, far, server, client).await
    } else {
        let (near, far) = memory();
        open_over(near, far, server, client).await
    }
}

async fn open_over(near: impl Transport, far: impl Transport, server: &Config, client: &Config) -> (Session, Session) {
    let hosting = Hosting::builder().service(Meter.serve()).build().unwrap();
    let (nothing, info) = (Hosting::default(), ConnectionInfo::default);
    let resuming = session::Greeting { resumes: true, ..session::Greeting::default() };
    let (at_client, driver) = session::connect_with(resuming, far, &nothing, client, info());
    tokio::spawn(driver);
    let (at_server, driver) = Handshake::read(near, server).await.unwrap().accept(&hosting, info());
    tokio::spawn(driver);
    (at_server, at_client)
}

/// A session opens, answers a small call and, unless a limit says otherwise, a large one. It lives idle for minutes,
/// and ends.
async fn works(server: &Config, client: &Config, websocket: bool) {
    let (at_server, at_client) = open(server, client, websocket).await;
    at_client.established().await.expect("the session opens");
    let gauge: GaugeClient = at_client.client();
    assert_eq!(gauge.same(7).await, Ok(7));
    match gauge.double(&vec![7; 150_000]).await {
        Ok(doubled) => assert_eq!(doubled.len(), 300_000),
        Err(status) => assert!(
            matches!(
                status.code(),
                Code::OutOfRange
                    | Code::ResourceExhausted
                    | Code::InvalidArgument
                    | Code::DeadlineExceeded
                    | Code::Internal
            ) && !status.message().is_empty(),
            "{status}"
        ),
    }
    for end in [&at_client, &at_server] {
        let ended = tokio::time::timeout(Duration::from_secs(300), end.closed()).await;
        assert!(ended.is_err(), "an idle session lives: {ended:?}");
    }
    assert_eq!(gauge.same(8).await, Ok(8));
    at_client.close();
    at_client.closed().await;
    at_server.closed().await;
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(100_000), future).await.expect("it comes to an end");
    });
}

fn changed(changes: &[(usize, u64)]) -> Config {
    mended(changes.iter().fold(Config::builder(), |config, &(field, raw)| set(config, field, raw)))
}

fn try_out(config: &Config, websocket: bool) {
    let default = Config::default();
    run(async {
        works(config, config, websocket).await;
        works(config, &default, websocket).await;
        works(&default, config, websocket).await;
    });
}

const EDGES: [u64; 27] = [
    0,
    1,
    2,
    9,
    10,
    255,
    256,
    511,
    512,
    768,
    999,
    1000,
    1999,
    2000,
    16_383,
    16_384,
    65_536,
    131_071,
    131_072,
    1 << 20,
    1 << 26,
    1 << 30,
    2 << 30,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

#[test]
fn each_field_is_known() {
    let shown = format!("{:?}", Config::default());
    assert_eq!(shown.matches(": ").count(), FIELDS.len(), "{shown}");
}

#[test]
fn each_field_alone_works_at_its_edges_or_is_refused() {
    for (field, (name, _)) in FIELDS.iter().enumerate() {
        // Values that are refused come to the least or the greatest that works.
        let mut tried: Vec<Config> = Vec::new();
        for edge in EDGES {
            let config = changed(&[(field, edge)]);
            if !tried.contains(&config) {
                println!("{name} = {edge}");
                try_out(&config, tried.len() % 2 == 0);
                tried.push(config);
            }
        }
    }
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![4 => select(&EDGES[..]), 1 => any::<u64>(), 1 => 0..200_000_u64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fields_in_pairs_work_or_are_refused(
        changes in prop::collection::vec((0..FIELDS.len(), value()), 2..=3),
        websocket in any::<bool>(),
    ) {
        try_out(&changed(&changes), websocket);
    }
}

/// A value that an error advises for one field is never too much for another field.
#[test]
fn all_fields_at_their_greatest_or_least_work_together() {
    for raw in [0, u64::MAX] {
        let all: Vec<_> = (0..FIELDS.len()).map(|field| (field, raw)).collect();
        for websocket in [false, true] {
            try_out(&changed(&all), websocket);
        }
    }
}

#[tokio::test]
async fn a_channel_may_have_any_capacity() {
    for capacity in [0, 1, usize::MAX] {
        let (sender, mut stream) = Streaming::<u32>::channel(capacity);
        let sending = async {
            sender.send(1).await.unwrap();
            sender.finish().await.unwrap();
        };
        let (first, ()) = tokio::join!(stream.next(), sending);
        assert_eq!(first, Some(Ok(1)));
    }
}

/// The other side would drop a one-way call, and its caller would not hear of that.
#[tokio::test(start_paused = true)]
async fn short_arguments_are_held_to_a_still_shorter_limit_before_they_are_sent() {
    let (limited, config) = (Config::builder().max_payload(256).build().unwrap(), Config::default());
    let (_server, client) = open(&limited, &config, false).await;
    client.established().await.unwrap();
    let gauge = client.client::<GaugeClient>();
    for status in [gauge.note(&[7; 1000]).await.unwrap_err(), gauge.double(&[7; 1000]).await.unwrap_err()] {
        assert_eq!((status.code(), status.execution()), (Code::OutOfRange, Execution::NotExecuted));
        assert!(status.message().ends_with("raise Config::max_payload there"), "{status}");
    }
    assert_eq!(gauge.note(&[7; 100]).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_too_long_name_the_limit_that_says_so() {
    let cases = [
        ("Config::max_arguments there", Config::builder().max_arguments(100_000)),
        ("Config::max_payload there", Config::builder().max_payload(100_000)),
        (
            "Config::max_arguments and Config::max_payload there",
            Config::builder().max_arguments(100_000).max_payload(100_000),
        ),
    ];
    for (raise, config) in cases {
        let config = config.build().unwrap();
        let (_server, client) = open(&config, &config, false).await;
        client.established().await.unwrap();
        let status = client.client::<GaugeClient>().double(&vec![7; 150_000]).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange);
        let message = status.message();
        assert!(message.contains("100000") && message.ends_with(&format!("raise {raise}")), "{message}");
    }
}
