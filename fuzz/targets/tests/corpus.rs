//! Every input of the corpus still passes: those that a fuzzer has found, and those that showed a fault once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, panic, path::PathBuf};

use fuzz_targets::{Body, TARGETS};

/// Runs a target on each of its inputs. A failure names the input.
fn replay(name: &str) {
    let (_, body): (_, Body) = TARGETS.into_iter().find(|(target, _)| *target == name).unwrap();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        assert!(panic::catch_unwind(|| body(&input)).is_ok(), "{name} panics at {}", path.display());
        count += 1;
    }
    assert!(count > 10, "there are {count} inputs in {}", folder.display());
}

#[test]
fn packets() {
    replay("packets");
}

#[test]
fn payloads() {
    replay("payloads");
}

#[test]
fn connection() {
    replay("connection");
}

#[test]
fn websocket() {
    replay("websocket");
}

#[test]
fn front() {
    replay("front");
}
