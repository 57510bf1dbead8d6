//! The arguments of a call that may be sent at once are serialized once, short or long.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rpc_core::{Hosting, session::connect_in_memory};
use serde::{Deserialize, Serialize, Serializer};

static TIMES: AtomicUsize = AtomicUsize::new(0);

/// A text that counts how often it is serialized.
#[derive(Deserialize)]
struct Page(String);

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TIMES.fetch_add(1, SeqCst);
        serializer.serialize_str(&self.0)
    }
}

#[rpc_core::service]
trait Printer {
    async fn print(&self, page: Page) -> usize;
}

struct Press;

impl Printer for Press {
    async fn print(&self, page: Page) -> usize {
        page.0.len()
    }
}

#[tokio::test(start_paused = true)]
async fn arguments_of_any_length_are_serialized_once() {
    let server = Hosting::builder().service(Press.serve()).build().unwrap();
    let (_server, session) = connect_in_memory(&server, &Hosting::default());
    session.established().await.unwrap();
    let printer: PrinterClient = session.client();
    for len in [1, 30, 4000, 5000, 66_000, 300_000] {
        TIMES.store(0, SeqCst);
        assert_eq!(printer.print(Page("x".repeat(len))).await, Ok(len));
        assert_eq!(TIMES.load(SeqCst), 1, "{len} bytes");
    }
}
