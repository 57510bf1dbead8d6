//! A subscriber that remembers the log lines of this thread.

use std::{cell::RefCell, fmt, fmt::Write, sync::Once};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

thread_local! {
    static SEEN: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Remembers each line as a plain log would show it. There is one for all tests, because callsites ask only once who is
/// interested.
pub(crate) struct Lines;

impl Lines {
    /// From the first call on.
    pub(crate) fn keep() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Self).unwrap());
    }

    /// Those of this thread so far, of this level and above it.
    pub(crate) fn read(level: Level) -> Vec<String> {
        SEEN.with_borrow(|seen| seen.iter().filter(|line| line.0 <= level).map(|line| line.1.clone()).collect())
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ =
            if field.name() == "message" { write!(self.0, "{value:?} ") } else { write!(self.0, "{field}={value:?} ") };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, "{field}={value} ");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("rpc_")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        SEEN.with_borrow_mut(|seen| seen.push((*event.metadata().level(), line.0)));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
