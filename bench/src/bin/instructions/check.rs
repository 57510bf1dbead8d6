//! Says whether a call takes more than it did when it was recorded.

use crate::counts::{Count, Counts};

/// How far the instructions may be from the recorded ones, as a share of these.
const TOLERANCE: f64 = 0.03;

/// A rise by this number of allocations is one: by one in a hundred calls. The few that a session makes now and then,
/// at both ends, stay below this.
const ALLOCATIONS: f64 = 0.01;

/// What became of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It takes as much as recorded.
    Same,
    /// It takes less.
    Less,
    /// It takes more.
    More,
    /// Nothing is recorded of it.
    New,
}

/// Compares what a call takes with what is recorded.
pub(crate) fn judge(recorded: Option<&Count>, now: &Count) -> Verdict {
    let Some(recorded) = recorded else { return Verdict::New };
    let (share, allocations) = (rise(recorded, now), now.allocations - recorded.allocations);
    // Thousandths do not add up exactly: this is half of one.
    let least = ALLOCATIONS - 0.0005;
    if share > TOLERANCE || allocations > least {
        Verdict::More
    } else if share < -TOLERANCE || allocations < -least {
        Verdict::Less
    } else {
        Verdict::Same
    }
}

/// How much the instructions rose, as a share of the recorded ones.
pub(crate) fn rise(recorded: &Count, now: &Count) -> f64 {
    now.instructions / recorded.instructions - 1.0
}

/// What to tell of the modes in the same environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Lines that make the check fail.
    pub(crate) failures: Vec<String>,
    /// Lines that recommend something.
    pub(crate) advice: Vec<String>,
}

impl Findings {
    /// Compares all modes.
    pub(crate) fn of(recorded: &Counts, now: &Counts, quick: bool) -> Self {
        let quick = if quick { "--quick " } else { "" };
        let mut findings = Self::default();
        for (mode, count) in now {
            let was = recorded.get(mode);
            let change = was.map(|was| change(was, count)).unwrap_or_default();
            match judge(was, count) {
                Verdict::Same => {}
                Verdict::More => findings.failures.push(format!(
                    "{mode}: a call takes more than recorded: {change}. Look where with callgrind \
                     (docs/performance.md says how). If the rise is meant, record it with `{quick}--record`, and say \
                     why in the commit"
                )),
                Verdict::Less => findings.advice.push(format!(
                    "{mode}: a call takes less than recorded: {change}. Record this with `{quick}--record`, so that it \
                     stays so"
                )),
                Verdict::New => {
                    findings.advice.push(format!("{mode}: nothing is recorded; record it with `{quick}--record`"));
                }
            }
        }
        findings
    }
}

fn change(recorded: &Count, now: &Count) -> String {
    format!(
        "{:.0} instructions, recorded are {:.0} ({:+.1} %); {:.3} allocations, recorded are {:.3} ({:+.3})",
        now.instructions,
        recorded.instructions,
        rise(recorded, now) * 100.0,
        now.allocations,
        recorded.allocations,
        now.allocations - recorded.allocations
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(recorded: (f64, f64), now: (f64, f64)) -> Verdict {
        judge(Some(&Count::rounded(recorded.0, recorded.1)), &Count::rounded(now.0, now.1))
    }

    #[test]
    fn instructions_may_rise_and_fall_by_three_percent() {
        assert_eq!(verdict((10_000.0, 0.0), (10_299.0, 0.0)), Verdict::Same);
        assert_eq!(verdict((10_000.0, 0.0), (10_301.0, 0.0)), Verdict::More);
        assert_eq!(verdict((10_000.0, 0.0), (9_701.0, 0.0)), Verdict::Same);
        assert_eq!(verdict((10_000.0, 0.0), (9_699.0, 0.0)), Verdict::Less);
    }

    #[test]
    fn allocations_may_not_rise_by_one_in_a_hundred_calls() {
        assert_eq!(verdict((1.0, 0.0), (1.0, 0.009)), Verdict::Same);
        assert_eq!(verdict((1.0, 0.0), (1.0, 0.01)), Verdict::More);
        assert_eq!(verdict((1.0, 0.001), (1.0, 0.011)), Verdict::More);
        assert_eq!(verdict((1.0, 2.0), (1.0, 2.009)), Verdict::Same);
        assert_eq!(verdict((1.0, 2.0), (1.0, 2.01)), Verdict::More);
        assert_eq!(verdict((1.0, 2.0), (1.0, 1.0)), Verdict::Less);
    }

    #[test]
    fn a_rise_counts_even_if_the_other_number_falls() {
        assert_eq!(verdict((10_000.0, 1.0), (11_000.0, 0.0)), Verdict::More);
        assert_eq!(verdict((10_000.0, 0.0), (5_000.0, 1.0)), Verdict::More);
    }

    #[test]
    fn a_failure_names_the_mode_the_counts_the_rise_and_what_to_do() {
        let recorded = Counts::from([
            ("kib".to_owned(), Count::rounded(30_000.0, 0.0)),
            ("small".to_owned(), Count::rounded(20_000.0, 0.0)),
        ]);
        let now = Counts::from([
            ("kib".to_owned(), Count::rounded(27_000.0, 0.0)),
            ("new".to_owned(), Count::rounded(1.0, 0.0)),
            ("small".to_owned(), Count::rounded(21_000.0, 0.5)),
        ]);
        let findings = Findings::of(&recorded, &now, true);
        let [failure] = &findings.failures[..] else { panic!("{findings:?}") };
        for part in ["small: ", "21000", "20000", "+5.0 %", "+0.500", "callgrind", "`--quick --record`", "commit"] {
            assert!(failure.contains(part), "{part} is not in {failure}");
        }
        let [less, new] = &findings.advice[..] else { panic!("{findings:?}") };
        assert!(less.starts_with("kib: a call takes less") && less.contains("--record"), "{less}");
        assert!(new.starts_with("new: nothing is recorded"), "{new}");
        assert_eq!(Findings::of(&recorded, &recorded, false), Findings::default());
    }
}
