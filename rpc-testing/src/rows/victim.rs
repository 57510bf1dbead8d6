//! What is hosted at the end that is attacked, be it a server or a client.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rpc_core::{Context, Status};
use serde::{Deserialize, Serialize, Serializer, ser::Error};

use crate::waiting::Inside;

/// A value with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Any text.
    pub name: String,
}

/// A value that does not serialize.
#[derive(Debug, Deserialize)]
pub struct Muddle;

impl Serialize for Muddle {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("it does not want to"))
    }
}

/// Hosted by a client.
#[rpc_core::callback]
pub trait Guest {
    /// Gives the text back.
    async fn echo(&self, text: String) -> String;
    /// Takes a value with a field.
    async fn sign(&self, card: Card) -> usize;
    /// Takes lists.
    async fn sort(&self, lists: Vec<Vec<u8>>) -> usize;
    /// Never ends.
    async fn hold(&self);
    /// Calls `echo` back.
    async fn ask(&self, cx: &Context<HostClient>) -> Result<String, Status>;
    /// Panics.
    async fn panic(&self);
    /// Has a result that does not serialize.
    async fn muddle(&self) -> Muddle;
}

/// Hosted by a server: the same methods.
#[rpc_core::service(callback = Guest)]
pub trait Host {
    /// Gives the text back.
    async fn echo(&self, text: String) -> String;
    /// Takes a value with a field.
    async fn sign(&self, card: Card) -> usize;
    /// Takes lists.
    async fn sort(&self, lists: Vec<Vec<u8>>) -> usize;
    /// Never ends.
    async fn hold(&self);
    /// Calls `echo` back.
    async fn ask(&self, cx: &Context<GuestClient>) -> Result<String, Status>;
    /// Panics.
    async fn panic(&self);
    /// Has a result that does not serialize.
    async fn muddle(&self) -> Muddle;
}

/// Serves both contracts, and counts.
#[derive(Clone, Debug, Default)]
pub struct Victim {
    held: Arc<AtomicUsize>,
    echoed: Arc<AtomicUsize>,
}

impl Victim {
    /// How many handlers run that never end.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// How often `echo` was called.
    pub fn echoed(&self) -> usize {
        self.echoed.load(Ordering::SeqCst)
    }

    fn echo_once(&self, text: String) -> String {
        self.echoed.fetch_add(1, Ordering::SeqCst);
        text
    }

    async fn hold_for_ever(&self) {
        let _inside = Inside::enter(&self.held);
        std::future::pending::<()>().await;
    }
}

impl Guest for Victim {
    async fn echo(&self, text: String) -> String {
        self.echo_once(text)
    }
    async fn sign(&self, card: Card) -> usize {
        card.name.len()
    }
    async fn sort(&self, lists: Vec<Vec<u8>>) -> usize {
        lists.len()
    }
    async fn hold(&self) {
        self.hold_for_ever().await;
    }
    async fn ask(&self, cx: &Context<HostClient>) -> Result<String, Status> {
        cx.peer().echo("a client asks".to_owned()).await
    }
    async fn panic(&self) {
        // No message is written: the harness of tests would keep it, and the test counts memory.
        std::panic::resume_unwind(Box::new("as a row wants it"));
    }
    async fn muddle(&self) -> Muddle {
        Muddle
    }
}

impl Host for Victim {
    async fn echo(&self, text: String) -> String {
        self.echo_once(text)
    }
    async fn sign(&self, card: Card) -> usize {
        card.name.len()
    }
    async fn sort(&self, lists: Vec<Vec<u8>>) -> usize {
        lists.len()
    }
    async fn hold(&self) {
        self.hold_for_ever().await;
    }
    async fn ask(&self, cx: &Context<GuestClient>) -> Result<String, Status> {
        cx.peer().echo("a server asks".to_owned()).await
    }
    async fn panic(&self) {
        // No message is written: the harness of tests would keep it, and the test counts memory.
        std::panic::resume_unwind(Box::new("as a row wants it"));
    }
    async fn muddle(&self) -> Muddle {
        Muddle
    }
}
