//! A subscriber that remembers what was logged.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, Once, PoisonError},
    thread::{self, ThreadId},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

static SEEN: Mutex<Vec<(ThreadId, Line)>> = Mutex::new(Vec::new());

/// Remembers each line as a plain log would show it. There is one for all tests, because callsites ask only once who is
/// interested.
#[derive(Debug)]
pub struct Lines;

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Line {
    level: Level,
    /// Whether one of this project's crates has logged it.
    ours: bool,
    text: String,
    fields: BTreeMap<&'static str, String>,
}

impl Line {
    /// A field's value; `message` is one of them. Empty where the line has no such field.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Lines {
    /// Keeps the log from the first call of this function on.
    pub fn keep() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Self).unwrap());
    }

    /// What this project's crates have logged on this thread so far, of this level and above it: what a test with a
    /// runtime of one thread has caused, without the lines of other tests that run meanwhile.
    pub fn read(level: Level) -> Vec<String> {
        let this = thread::current().id();
        let lines = select(|thread, line| thread == this && line.ours && line.level <= level);
        lines.into_iter().map(|line| line.text).collect()
    }

    /// What this project's crates have logged on any thread so far, of this level and above it.
    pub fn of_all_threads(level: Level) -> Vec<Line> {
        select(|_, line| line.ours && line.level <= level)
    }

    /// All that has been logged on this thread so far, by any crate, each line with its level.
    pub fn log() -> String {
        let this = thread::current().id();
        let lines = select(|thread, _| thread == this);
        lines.iter().map(|line| format!("{} {}\n", line.level, line.text)).collect()
    }
}

fn select(wanted: impl Fn(ThreadId, &Line) -> bool) -> Vec<Line> {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = |(thread, line): &&(ThreadId, Line)| wanted(*thread, line);
    seen.iter().filter(wanted).map(|(_, line)| line.clone()).collect()
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text += &if field.name() == "message" { format!("{value} ") } else { format!("{field}={value} ") };
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // `tracing::enabled!` asks with a hint, which is neither a span nor an event.
        !metadata.is_span()
    }

    fn event(&self, event: &Event<'_>) {
        let (level, ours) = (*event.metadata().level(), event.metadata().target().starts_with("rpc_"));
        let mut line = Line { level, ours, text: String::new(), fields: BTreeMap::new() };
        event.record(&mut line);
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push((thread::current().id(), line));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
