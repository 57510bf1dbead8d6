//! A long job that reports through a callback, asks a question, and stops when its caller gives up.

mod contract;
mod demo;
mod exporter;
mod screen;

pub use contract::{ExportError, Exported, Exporter, ExporterClient, Watcher, WatcherClient};
pub use demo::demo;
pub use exporter::Archive;
pub use screen::{Answers, Screen, Seen};
