//! The limits and times in `docs/protocol.md` agree with the code.

use std::time::Duration;

use crate::{
    Config,
    config::{HANDSHAKE, MAX_CONTRACTS, MIN_BULK, MIN_CHUNK, PACKET_OVERHEAD},
    proto::{ITEM, assembly::MIN_PROGRESS, pings::PING_BURST},
    text::MAX_PEER_TEXT,
    wire::{MAX_FRAMES, MAX_TOKEN},
};

const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// The cells of the only table row that begins with this text.
fn row(begins: &str) -> Vec<&'static str> {
    let mut rows = PAGE.lines().filter(|line| line.starts_with(&format!("| {begins}")));
    let row = rows.next().unwrap_or_else(|| panic!("no row begins with {begins:?}"));
    assert_eq!(rows.next(), None, "a second row begins with {begins:?}");
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

fn seconds(time: Duration) -> String {
    assert_eq!(time.subsec_nanos(), 0);
    format!("{} s", time.as_secs())
}

/// A number as the page spells it.
fn number(cell: &str) -> Option<u64> {
    let mut words = cell.split(' ');
    let count: u64 = words.next()?.replace(',', "").parse().ok()?;
    Some(match words.next() {
        Some("KiB") => count << 10,
        Some("MiB") => count << 20,
        _ => count,
    })
}

// By key, so that a limit left out at the end of both lists is not compared.
#[test]
fn the_page_has_the_announced_limits() {
    let config = Config::default();
    let counts =
        [config.max_calls(), config.nested_calls(), config.max_oneway_calls(), config.max_depth()].map(u64::from);
    let bytes =
        [config.max_payload(), config.max_assembly(), config.max_arguments(), config.max_packet(), config.chunk()]
            .map(|b| b as u64);
    let windows = [u64::from(config.max_streams()), u64::from(config.stream_items())];
    let more = [
        config.stream_window(),
        config.streams_window(),
        config.max_payload_nesting(),
        config.max_payload_values(),
        config.max_payload_containers(),
    ]
    .map(|b| b as u64);
    let names = [
        "calls",
        "nested",
        "notifies",
        "depth",
        "payload",
        "assembly",
        "arguments",
        "packet",
        "chunk",
        "streams",
        "stream items",
        "stream bytes",
        "streams bytes",
        "nesting",
        "values",
        "containers",
    ];
    let limits = counts.into_iter().chain(bytes).chain(windows).chain(more);
    for ((key, name), limit) in (1..).zip(names).zip(limits) {
        let cells = row(&format!("{key} | {name} |"));
        assert_eq!(cells.last().and_then(|cell| number(cell)), Some(limit), "{name}: {cells:?}");
    }
}

#[test]
fn the_page_has_the_times() {
    let config = Config::default();
    let progress = seconds(config.progress_timeout());
    let kib = MIN_PROGRESS / 1024;
    let times = [
        ("the upgrade |".to_owned(), seconds(config.upgrade_timeout())),
        ("Hello, Welcome |".to_owned(), seconds(config.hello_timeout())),
        ("a ping after silence".to_owned(), seconds(config.ping_interval())),
        ("the other end is given up".to_owned(), seconds(config.keepalive_timeout())),
        (format!("a message that has begun must grow by {kib} KiB"), progress.clone()),
        (format!("transfers that have begun must together grow by {kib} KiB"), progress.clone()),
        ("while chunks and items wait for acks".to_owned(), progress.clone()),
        ("while more than 64 KiB of frames".to_owned(), progress),
        ("a write that makes no progress |".to_owned(), seconds(config.write_timeout())),
        ("closing |".to_owned(), seconds(config.close_timeout())),
        ("in a resumable session: while packets are kept".to_owned(), seconds(config.progress_timeout())),
        (
            "a resumable session without a link, at the client |".to_owned(),
            format!("the granted time and {}", seconds(config.keepalive_timeout())),
        ),
    ];
    for (begins, time) in times {
        let cells = row(&begins);
        let said = cells.last().expect("a row has cells").trim_start_matches("each ").trim_end_matches(" each");
        assert_eq!(said, time, "{begins}");
    }
}

#[test]
fn the_page_has_the_numbers_in_its_text() {
    let config = Config::default();
    let mib = |bytes: usize| bytes >> 20;
    let kib = |bytes: usize| bytes >> 10;
    let items = config.max_stream_window() / ITEM;
    let sentences = [
        format!("at most {},{:03} *frames*", MAX_FRAMES / 1000, MAX_FRAMES % 1000),
        format!("an array of at most {MAX_CONTRACTS}"),
        format!("`bin` of at most {MAX_TOKEN} bytes, opaque to the client"),
        format!("From {} MiB on it sends no further counted packet", mib(config.replay_buffer())),
        format!("`chunk` must be at least {MIN_CHUNK}, and `packet` at least `chunk` + {PACKET_OVERHEAD}."),
        format!("It may send at most {} KiB in all until the Welcome comes", kib(HANDSHAKE)),
        format!("Hello and Welcome must come within {} seconds", config.hello_timeout().as_secs()),
        format!("The limit begins with {} KiB.", kib(config.unacked_bulk())),
        format!("the limit grows by half, up to {} MiB.", mib(config.max_unacked_bulk())),
        format!("or to {} KiB where the ack took more than 100 ms", kib(MIN_BULK)),
        format!("This implementation holds {} MiB of what comes in.", mib(config.memory_in())),
        format!("up to {} MiB and {},{:03} items", mib(config.max_stream_window()), items / 1000, items % 1000),
        format!("gives it up when for {} seconds nothing has been produced", config.call_timeout().as_secs()),
        format!("Together they have at most {} KiB", kib(MAX_PEER_TEXT)),
        format!("- After {} seconds it stops the methods", config.drain_grace().as_secs()),
        format!("that it is gone within {} seconds", config.drain_timeout().as_secs()),
    ];
    let page = PAGE.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in sentences {
        assert!(page.contains(&sentence), "the page does not say {sentence:?}");
    }
    assert_eq!((PING_BURST, config.nested_wait()), (10, Duration::from_secs(1)));
    assert!(page.contains("Ten at once are allowed, and one a second after that"));
    assert!(page.contains("This implementation gives up after a second, with `RESOURCE_EXHAUSTED`."));
    assert!(page.contains(&format!("| {} MiB of frames that wait to be written", mib(config.outbox_hard()))));
}
