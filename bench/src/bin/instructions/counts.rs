//! The counts that are committed, each with the environment it was taken in.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use common::Outcome;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;

/// Where they are.
pub(crate) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.json");

/// What a call takes, both ends together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// The counts of each mode.
pub(crate) type Counts = BTreeMap<String, Count>;

/// All that is recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Recorded {
    entries: Vec<Entry>,
}

/// The counts of one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) environment: Environment,
    /// Whether `--quick` took the counts: the number of calls changes them.
    quick: bool,
    pub(crate) counts: Counts,
}

impl Count {
    /// Tenths of an instruction and thousandths of an allocation are as much as the numbers are good for.
    pub(crate) fn rounded(instructions: f64, allocations: f64) -> Self {
        Self { instructions: (instructions * 10.0).round() / 10.0, allocations: (allocations * 1e3).round() / 1e3 }
    }
}

impl Recorded {
    /// Reads the file. Where there is none, nothing is recorded.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()).into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{} cannot be read ({error})", path.display()).into()),
        }
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> Outcome<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).map_err(|error| format!("{} cannot be written ({error})", path.display()).into())
    }

    /// The entry of the environment that differs least from this one, if any is recorded.
    pub(crate) fn nearest(&self, environment: &Environment, quick: bool) -> Option<&Entry> {
        let entries = self.entries.iter().filter(|entry| entry.quick == quick);
        entries.min_by_key(|entry| environment.differences(&entry.environment).len())
    }

    /// Replaces the counts of this environment, and leaves those of any other one as they are.
    pub(crate) fn record(&mut self, environment: Environment, quick: bool, counts: Counts) {
        let same = self.entries.iter_mut().find(|entry| entry.environment == environment && entry.quick == quick);
        match same {
            Some(entry) => entry.counts = counts,
            None => self.entries.push(Entry { environment, quick, counts }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::with;

    fn counts(instructions: f64) -> Counts {
        Counts::from([("small".to_owned(), Count::rounded(instructions, 0.0))])
    }

    #[test]
    fn environments_are_recorded_side_by_side() {
        let mut recorded = Recorded::default();
        recorded.record(with("rustc 1"), true, counts(1.0));
        recorded.record(with("rustc 2"), true, counts(2.0));
        recorded.record(with("rustc 2"), false, counts(3.0));
        recorded.record(with("rustc 2"), true, counts(4.0));
        let found = |rustc: &str, quick| recorded.nearest(&with(rustc), quick).unwrap().counts.clone();
        assert_eq!(found("rustc 1", true), counts(1.0));
        assert_eq!(found("rustc 2", true), counts(4.0));
        assert_eq!(found("rustc 2", false), counts(3.0));
        assert_eq!(recorded.entries.len(), 3);
    }

    #[test]
    fn the_nearest_environment_differs_least() {
        let mut recorded = Recorded::default();
        assert!(recorded.nearest(&with("rustc 1"), true).is_none());
        recorded.record(Environment { libc: "musl".to_owned(), ..with("rustc 2") }, true, counts(1.0));
        recorded.record(with("rustc 2"), true, counts(2.0));
        assert_eq!(recorded.nearest(&with("rustc 1"), true).unwrap().counts, counts(2.0));
        assert!(recorded.nearest(&with("rustc 1"), false).is_none());
    }

    #[test]
    fn a_file_that_was_written_reads_the_same() {
        let mut recorded = Recorded::default();
        recorded.record(with("rustc 1"), true, counts(1234.5));
        let text = serde_json::to_string_pretty(&recorded).unwrap();
        assert_eq!(serde_json::from_str::<Recorded>(&text).unwrap(), recorded);
    }

    #[test]
    fn the_committed_file_can_be_read() {
        let recorded = Recorded::read(Path::new(FILE)).unwrap();
        assert!(!recorded.entries.is_empty());
        assert!(recorded.entries.iter().all(|entry| entry.counts.contains_key("small")));
    }

    #[test]
    fn without_a_file_nothing_is_recorded() {
        assert_eq!(Recorded::read(Path::new("/no/such/file.json")).unwrap(), Recorded::default());
    }
}
