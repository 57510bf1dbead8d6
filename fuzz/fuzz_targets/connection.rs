//! `cargo fuzz run connection`; `targets` says what it checks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::connection::run(data));
