//! `cargo fuzz run websocket`; `targets` says what it checks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::websocket::run(data));
