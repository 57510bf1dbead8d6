//! A contract under strict lints: the whole of each crate here, whose edition `Cargo.toml` says.
#![deny(
    warnings,
    future_incompatible,
    keyword_idents,
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    nonstandard_style,
    rust_2018_idioms,
    rust_2021_compatibility,
    single_use_lifetimes,
    trivial_casts,
    unnameable_types,
    unreachable_pub,
    unused,
    unused_extern_crates,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    clippy::all,
    clippy::nursery,
    clippy::pedantic
)]

mod contract;

pub use contract::{Desk, DeskClient, Screen, ScreenClient};
