//! Runs this program under the tools of valgrind, and reads their counts.

use std::{
    array,
    io::ErrorKind,
    process::{Child, Command, Stdio},
};

use common::Outcome;

use crate::{calls::Mode, counts::Count};

/// Lets `memset` and `memcpy` of glibc move whole vectors instead of using `rep stosb` and `rep movsb`. Valgrind counts
/// such an instruction once for each byte, so that clearing a read buffer would count far more than it takes.
const TUNABLES: &str = "glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000";

/// A tool of valgrind, and where its report has the number that counts.
struct Tool {
    args: [&'static str; 2],
    /// Text that only the line of the count has.
    line: &'static str,
    /// The text directly before the number, further on in that line.
    before: &'static str,
}

/// Counts instructions: `Collected : 178640`.
const CALLGRIND: Tool =
    Tool { args: ["--tool=callgrind", "--callgrind-out-file=/dev/null"], line: "Collected", before: " : " };

/// Counts allocations: `Total:     178,640 bytes in 1,294 blocks`.
const DHAT: Tool = Tool { args: ["--tool=dhat", "--dhat-out-file=/dev/null"], line: "Total:", before: " bytes in " };

/// How many calls a mode makes: in the shorter run, and in the longer one.
pub(crate) type Lengths = [u64; 2];

/// What whole processes of one mode took: the shorter run, and the longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    instructions: [u64; 2],
    allocations: [u64; 2],
}

impl Totals {
    /// Runs the mode.
    pub(crate) fn count(mode: Mode, lengths: Lengths) -> Outcome<Self> {
        Ok(Self { instructions: CALLGRIND.count(mode, lengths)?, allocations: DHAT.count(mode, lengths)? })
    }

    /// The less of each number. On a busy machine a timer may expire in a run that expires in no other one, and
    /// what it does is counted. Nothing makes a run take less than its calls take.
    pub(crate) fn least(self, other: Self) -> Self {
        let less = |one: [u64; 2], other: [u64; 2]| array::from_fn(|at| one[at].min(other[at]));
        Self {
            instructions: less(self.instructions, other.instructions),
            allocations: less(self.allocations, other.allocations),
        }
    }

    /// The part of one call.
    pub(crate) fn of_a_call(self, lengths: Lengths) -> Count {
        // Where a call takes nothing, noise may make the longer run the smaller one.
        let part = |[some, more]: [u64; 2]| more.saturating_sub(some) as f64 / (lengths[1] - lengths[0]) as f64;
        Count::rounded(part(self.instructions), part(self.allocations))
    }
}

impl Tool {
    fn count(&self, mode: Mode, lengths: Lengths) -> Outcome<[u64; 2]> {
        let [some, more] = lengths.map(|calls| self.start(mode, calls));
        let [some, more] = [some?, more?].map(|child| self.finish(child));
        Ok([some?, more?])
    }

    /// Starts this program under the tool. Two at a time do not disturb each other's counts.
    fn start(&self, mode: Mode, calls: u64) -> Outcome<Child> {
        let child = Command::new("valgrind")
            .args(self.args)
            .arg(std::env::current_exe()?)
            .args(["--make", &mode.name(), "--calls", &calls.to_string()])
            .env("GLIBC_TUNABLES", TUNABLES)
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(child)
    }

    fn finish(&self, child: Child) -> Outcome<u64> {
        let output = child.wait_with_output()?;
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        let count = self.read(&report).filter(|_| output.status.success());
        count.ok_or_else(|| format!("valgrind failed ({}):\n{report}", output.status).into())
    }

    fn read(&self, report: &str) -> Option<u64> {
        let (_, rest) = report.lines().find_map(|line| line.split_once(self.line))?;
        let (_, number) = rest.split_once(self.before)?;
        number.split_whitespace().next()?.replace(',', "").parse().ok()
    }
}

/// None if there is no valgrind.
pub(crate) fn version() -> Outcome<Option<String>> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What this program prints under valgrind when it is asked for the processor's features.
pub(crate) fn features() -> Outcome<String> {
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=none"])
        .arg(std::env::current_exe()?)
        .arg("--features")
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("valgrind failed ({})", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        assert_eq!(CALLGRIND.read("==1== Events    : Ir\n==1== Collected : 178640\n"), Some(178_640));
        assert_eq!(DHAT.read("==1== Total:     178,640 bytes in 1,294 blocks\n"), Some(1_294));
        assert_eq!(DHAT.read("==1== no such line\n"), None);
    }

    #[test]
    fn a_call_is_the_difference_of_the_least_runs() {
        // The timers of one run take 500 instructions in the shorter process, those of another one in the longer.
        let one = Totals { instructions: [1_500, 3_000], allocations: [7, 8] };
        let other = Totals { instructions: [1_000, 3_500], allocations: [7, 7] };
        let least = one.least(other);
        assert_eq!(least, other.least(one));
        assert_eq!(least.of_a_call([10, 20]), Count::rounded(200.0, 0.0));
    }

    #[test]
    fn a_call_that_takes_nothing_takes_no_less() {
        let totals = Totals { instructions: [10, 10], allocations: [8, 7] };
        assert_eq!(totals.of_a_call([10, 20]), Count::rounded(0.0, 0.0));
    }
}
