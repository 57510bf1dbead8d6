//! Bounds how long `--quick` takes: from some time on, the remaining rows are measured for two peers only.

use std::time::{Duration, Instant};

use crate::peers::{BASE, OURS};

/// How long `--quick` measures all peers. What comes after this, the rows for two peers, takes a few seconds, or at
/// most half a minute on a busy machine.
pub(crate) const QUICK: Duration = Duration::from_secs(70);

/// Which measurements there is time for.
#[derive(Debug)]
pub(crate) struct Patience {
    /// When the time is up; without this, there is time for all.
    until: Option<Instant>,
    /// The first row that went without some peers.
    first: Option<&'static str>,
}

impl Patience {
    pub(crate) fn new(limit: Option<Duration>, now: Instant) -> Self {
        Self { until: limit.map(|limit| now + limit), first: None }
    }

    /// Whether there is time for this peer in this row. There always is for this project and for what ratios are taken
    /// to, so that each row has a figure.
    pub(crate) fn allows(&mut self, row: &'static str, peer: &str, now: Instant) -> bool {
        let allows = peer == OURS || peer == BASE || self.until.is_none_or(|until| now < until);
        if !allows {
            self.first.get_or_insert(row);
        }
        allows
    }

    /// What a reader of the tables must know.
    pub(crate) fn note(&self) -> Option<String> {
        let (row, seconds) = (self.first?, QUICK.as_secs());
        Some(format!(
            "--quick measures all peers for {seconds} s. They were over in the row {row}: from there on, only {OURS} and \
             {BASE} were measured. Use a quiet machine, or choose among --rows and --peers.\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_there_is_time_for_all() {
        let now = Instant::now();
        let mut patience = Patience::new(None, now);
        assert!(patience.allows("row", "rival", now + Duration::from_secs(86_400)));
        assert_eq!(patience.note(), None);
    }

    #[test]
    fn when_the_time_is_up_two_peers_remain() {
        let now = Instant::now();
        let mut patience = Patience::new(Some(QUICK), now);
        assert!(patience.allows("early", "rival", now + QUICK / 2));
        assert_eq!(patience.note(), None);
        let late = now + QUICK;
        for (row, peer, expected) in
            [("one", OURS, true), ("one", BASE, true), ("one", "rival", false), ("two", "rival", false)]
        {
            assert_eq!(patience.allows(row, peer, late), expected, "{peer} in {row}");
        }
        let note = patience.note().unwrap();
        assert!(note.contains("in the row one:"), "{note}");
    }
}
