//! Tests in which two state machines run against each other in virtual time.

mod admission;
mod bounds;
mod breaches;
mod buffers;
mod calls;
mod chance;
mod ending;
mod fairness;
mod handshake;
mod hostile;
mod memory;
mod page;
mod pair;
mod patience;
mod peer_text;
mod pings;
mod pool;
mod producers;
mod sharing;
mod stream_budget;
mod stream_chance;
mod stream_hostile;
mod stream_wakes;
mod streams;
mod time;
mod transfers;
