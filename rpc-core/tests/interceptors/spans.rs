//! A subscriber that remembers the spans of this thread.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

pub(crate) type Fields = BTreeMap<&'static str, String>;

thread_local! {
    static SEEN: RefCell<BTreeMap<u64, Fields>> = const { RefCell::new(BTreeMap::new()) };
}

/// Remembers the fields of every span named `call`, on each thread by itself. There is one for all tests: subscribers
/// that come and go beside others miss what the others show first.
#[derive(Default)]
pub(crate) struct Spans {
    last: AtomicU64,
}

impl Spans {
    /// Keeps all spans from the first call of this function on.
    pub(crate) fn keep() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Self::default()).unwrap());
    }

    /// Those of this thread, in the order in which they began.
    pub(crate) fn read() -> Vec<Fields> {
        SEEN.with_borrow(|seen| seen.values().cloned().collect())
    }
}

fn record(id: u64, record: impl FnOnce(&mut Into<'_>)) {
    SEEN.with_borrow_mut(|seen| record(&mut Into(seen.entry(id).or_default())));
}

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "call"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        record(id, |fields| span.record(fields));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        record(span.into_u64(), |fields| values.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
