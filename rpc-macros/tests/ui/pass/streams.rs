#![deny(missing_docs, warnings)]
//! Streams in all places where they may stand, in a module where the names of the prelude mean other things.

/// A contract.
pub mod contract {
    #![allow(dead_code)]

    use rpc_core::{Status, Streaming};

    struct Result;
    struct Option;
    struct Vec;
    struct Stream;
    struct Outlet;

    /// An alias that is named so.
    pub mod alias {
        /// Of a result.
        pub type Result<T> = std::result::Result<T, String>;
    }

    /// Takes streams and gives them.
    #[rpc_core::service]
    pub trait Desk {
        /// Plain.
        async fn plain(&self) -> Streaming<u32>;
        /// Bytes, and no fault.
        async fn bytes(&self, size: usize) -> rpc_core::Streaming<bytes::Bytes>;
        /// In a result.
        async fn fallible(&self, name: &str) -> std::result::Result<Streaming<std::vec::Vec<u8>, String>, String>;
        /// In a status.
        async fn status(&self) -> std::result::Result<Streaming<String>, Status>;
        /// In an alias.
        async fn alias(&self, a: &str, b: Streaming<u32>, c: &[u8]) -> alias::Result<Streaming<String>>;
        /// Arguments.
        #[rpc(window = 65_536, idempotent)]
        async fn arguments(&self, first: Streaming<u32>, r#type: Streaming<String, String>, n: u32) -> u32;
        /// An argument that older callers leave out.
        async fn later(&self, n: u32, #[rpc(default)] more: Streaming<u32>) -> u32;
    }
}

use contract::{Desk, DeskClient};
use futures::stream;
use rpc_core::{Status, Streaming};

struct Here;

impl Desk for Here {
    async fn plain(&self) -> Streaming<u32> {
        Streaming::new(stream::iter([1]))
    }
    async fn bytes(&self, size: usize) -> Streaming<bytes::Bytes> {
        Streaming::new(stream::iter([vec![0; size].into()]))
    }
    async fn fallible(&self, name: &str) -> Result<Streaming<Vec<u8>, String>, String> {
        Ok(Streaming::from_results(stream::iter([Err(name.to_owned())])))
    }
    async fn status(&self) -> Result<Streaming<String>, Status> {
        Err(Status::not_found("it"))
    }
    async fn alias(&self, _: &str, _: Streaming<u32>, _: &[u8]) -> contract::alias::Result<Streaming<String>> {
        Ok(Streaming::empty())
    }
    async fn arguments(&self, _: Streaming<u32>, _: Streaming<String, String>, n: u32) -> u32 {
        n
    }
    async fn later(&self, n: u32, _: Streaming<u32>) -> u32 {
        n
    }
}

/// Any stream is taken, and its future borrows what is lent.
pub async fn call(desk: &DeskClient) {
    let numbers = stream::iter([1, 2, 3]);
    let _ = desk.alias("a", numbers, b"c").await;
    let (_sender, words) = Streaming::channel(1);
    let _ = desk.arguments(Streaming::new(stream::empty()), words, 1).await;
    let _ = desk.arguments(stream::empty(), stream::iter(["word".to_owned()]), 1).await;
    let _ = desk.later(1, stream::pending()).await;
}

fn main() {
    let _ = Here.serve();
}
