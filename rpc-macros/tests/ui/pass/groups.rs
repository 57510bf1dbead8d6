#![deny(missing_docs, warnings)]
//! Every kind of method in a form for groups, without a warning.

use std::borrow::Cow;

use bytes::Bytes;
use rpc_core::{
    Answers, Broadcast, CallError, CallOptions, Context, GroupStub, Overflow, Status, Streaming, Stub,
};
use serde::{Deserialize, Serialize};

/// A price.
#[derive(Debug, Serialize, Deserialize)]
pub struct Quote {
    /// Of what.
    pub symbol: String,
    /// In cents.
    pub cents: u64,
}

/// A result whose type does not say that it is one.
pub type Answer = Result<bool, String>;

/// Hosted by clients.
#[rpc_core::callback(group, name = "ticker", crate = "rpc_core")]
pub trait Ticker {
    /// Quotes; the key borrows.
    #[rpc(oneway, overflow = "conflate", key = "quote.symbol", ttl = "5s")]
    async fn quoted(&self, quote: &Quote);
    /// Quotes; the key is taken before the argument is moved.
    #[rpc(oneway, overflow = "conflate", key = "(quote.symbol.as_str(), *depth > 0)")]
    async fn owned(&self, cx: &Context<TickerClient>, quote: Quote, depth: &u32);
    /// Conflated as a whole.
    #[rpc(oneway, overflow = "conflate")]
    async fn state(&self, is_open: bool);
    /// Samples.
    #[rpc(oneway, overflow = "drop-oldest")]
    async fn sample(&self, bytes: &[u8], more: Vec<u8>, last: Bytes);
    /// Lines of a log.
    #[rpc(oneway, overflow = "drop-newest", ttl = "250ms")]
    async fn logged(&self, lines: &[Cow<'static, str>], cow: Cow<'_, str>);
    /// Nothing may be missed.
    #[rpc(oneway, overflow = "wait")]
    async fn waited(&self);
    /// Nothing may be missed either.
    #[rpc(oneway, overflow = "disconnect")]
    async fn urgent(&self, #[rpc(default)] r#type: u8);
    /// With an answer.
    async fn confirm(&self, question: &str) -> bool;
    /// With a status.
    async fn checked(&self) -> Result<u32, Status>;
    /// With a fault.
    async fn judged(&self) -> Result<Vec<u8>, String>;
    /// With an alias.
    #[rpc(fallible)]
    async fn aliased(&self) -> Answer;
    /// With streams, which groups do not have.
    async fn pages(&self, pages: Streaming<String>) -> Streaming<u32>;
    /// Never there.
    #[cfg(any())]
    async fn never(&self, nothing: Nothing);
    /// Old.
    #[deprecated(note = "use `confirm`")]
    async fn asked(&self);
}

/// The types of the results.
pub fn types(group: &TickerGroup, quote: Quote) {
    let _: Broadcast = group.quoted(&quote);
    let _: Broadcast = group.owned(quote, &1);
    let _: Answers<bool, Status> = group.with(CallOptions::new()).clone().confirm("Sure?");
    let _: Answers<u32, Status> = group.checked();
    let _: Answers<Vec<u8>, CallError<String>> = group.judged();
    let _: Answers<bool, CallError<String>> = group.aliased();
    // The future borrows none of the arguments.
    let kept = {
        let question = String::from("Sure?");
        group.confirm(&question)
    };
    drop(kept);
}

fn main() {
    fn is_group<S: GroupStub<Group = TickerGroup>>() {}
    is_group::<TickerClient>();
    let method = |name: &str| {
        *TickerClient::CONTRACT.methods().iter().find(|method| method.name() == name).unwrap()
    };
    assert_eq!(method("quoted").overflow(), Some(Overflow::Conflate));
    assert_eq!(method("quoted").ttl(), Some(std::time::Duration::from_secs(5)));
    assert_eq!(method("sample").overflow(), Some(Overflow::DropOldest));
    assert_eq!(method("logged").overflow(), Some(Overflow::DropNewest));
    assert_eq!(method("waited").overflow(), Some(Overflow::Wait));
    assert_eq!(method("urgent").overflow(), Some(Overflow::Disconnect));
    assert_eq!((method("confirm").overflow(), method("confirm").ttl()), (None, None));
}
