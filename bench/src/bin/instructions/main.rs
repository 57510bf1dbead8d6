//! How many instructions a call takes, both ends together. Run with
//! `cargo run --release --manifest-path bench/Cargo.toml --bin instructions`; needs valgrind.
//!
//! Unlike times, counts are nearly the same from run to run, on a busy machine too, so that they show a change of one
//! percent. Each mode runs in processes of its own under callgrind, once with some calls and once with more. The
//! difference, divided by the number of calls between, is what a call takes: connecting and ending drop out, and the
//! kernel's work is not in it. The same runs under dhat give the allocations of a call.
//!
//! With `--check` the program compares the counts with those in `bench/counts.json`, and fails if a call takes more.

mod calls;
mod check;
mod counts;
mod environment;
mod valgrind;

use std::path::Path;

use calls::Mode;
use check::{Findings, Verdict, judge};
use clap::{Parser, ValueEnum};
use common::Outcome;
use counts::{Count, Counts, FILE, Recorded};
use environment::Environment;
use valgrind::{Lengths, Totals};

/// Above counts that are compared with none.
const HEADING: &str = "        mode  instructions/call  allocations/call";

/// How often a mode is counted at most: before it is recorded, and before a difference is believed.
const RUNS: usize = 3;

/// Counts the instructions and the allocations of a call, both ends together.
#[derive(Debug, Parser)]
struct Options {
    /// Count fewer calls: quicker and less exact.
    #[arg(long)]
    quick: bool,
    /// Print one line of JSON for each mode.
    #[arg(long, conflicts_with_all = ["check", "record"])]
    json: bool,
    /// Fail if a call takes more than bench/counts.json says for this compiler, libc, valgrind and processor.
    #[arg(long, conflicts_with = "record")]
    check: bool,
    /// Write the counts into bench/counts.json, for the next `--check`.
    #[arg(long)]
    record: bool,
    /// Used by the program itself: make these calls.
    #[arg(long, hide = true)]
    make: Option<Mode>,
    /// Used by the program itself: how many calls.
    #[arg(long, hide = true, default_value_t = 0)]
    calls: u64,
    /// Used by the program itself: print the features of the processor.
    #[arg(long, hide = true)]
    features: bool,
}

impl Options {
    /// Multiples of 64, which 64 callers share evenly. The shorter runs are long enough for what only the first calls
    /// of a session do: its memory stops growing after `Config::max_oneway_calls` one-way calls, which are 1,024.
    fn lengths(&self) -> Lengths {
        if self.quick { [1088, 3136] } else { [2560, 8960] }
    }
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    if options.features {
        println!("{}", environment::features());
        return Ok(());
    }
    if let Some(mode) = options.make {
        return calls::make(mode, options.calls);
    }
    if cfg!(debug_assertions) && (options.check || options.record) {
        return Err("a debug build takes several times the instructions: build with `--release`".into());
    }
    let Some(valgrind) = valgrind::version()? else {
        eprintln!("valgrind is not installed, so nothing is counted: install it, as with `apt install valgrind`");
        return Ok(());
    };
    if options.check {
        check(&options, &Environment::this(&valgrind)?)
    } else if options.record {
        record(&options, Environment::this(&valgrind)?)
    } else {
        print(&options, &valgrind)
    }
}

fn print(options: &Options, valgrind: &str) -> Outcome<()> {
    let (rustc, cpu) = (env!("RUSTC_VERSION"), cpu_name());
    if !options.json {
        println!("{rustc}, {valgrind}, {cpu}");
        println!("{HEADING}");
    }
    let lengths = options.lengths();
    let calls = lengths[1] - lengths[0];
    for &mode in Mode::value_variants() {
        let Count { instructions, allocations } = Totals::count(mode, lengths)?.of_a_call(lengths);
        let name = mode.name();
        if options.json {
            // Rust quotes plain text as JSON does.
            let how = format!(r#""calls":{calls},"rustc":{rustc:?},"valgrind":{valgrind:?},"cpu":{cpu:?}"#);
            println!(r#"{{"mode":{name:?},"instructions":{instructions:.1},"allocations":{allocations:.3},{how}}}"#);
        } else {
            println!("{name:>12} {instructions:>18.0} {allocations:>17.2}");
        }
    }
    Ok(())
}

/// Compares each mode with what is recorded for this environment.
fn check(options: &Options, here: &Environment) -> Outcome<()> {
    let recorded = Recorded::read(Path::new(FILE))?;
    let nearest = recorded.nearest(here, options.quick);
    let differences = nearest.map(|entry| here.differences(&entry.environment));
    let compares = differences.as_ref().is_some_and(Vec::is_empty);
    let recorded = nearest.map(|entry| entry.counts.clone()).unwrap_or_default();

    println!("{}", row(["mode", "instructions/call", "recorded", "change", "allocations/call", "recorded"]));
    let mut counts = Counts::new();
    for &mode in Mode::value_variants() {
        let name = mode.name();
        let was = recorded.get(&name);
        let is_believed = |count: &Count| !compares || matches!(judge(was, count), Verdict::Same | Verdict::New);
        let count = count(mode, options.lengths(), is_believed)?;
        let of_recorded = |text: &dyn Fn(&Count) -> String| was.map_or_else(|| "-".to_owned(), text);
        println!(
            "{}",
            row([
                &name,
                &format!("{:.0}", count.instructions),
                &of_recorded(&|was| format!("{:.0}", was.instructions)),
                &of_recorded(&|was| format!("{:+.1} %", check::rise(was, &count) * 100.0)),
                &format!("{:.2}", count.allocations),
                &of_recorded(&|was| format!("{:.2}", was.allocations)),
            ])
        );
        counts.insert(name, count);
    }

    if !compares {
        let how = if options.quick { "with --quick" } else { "without --quick" };
        let none = || format!("bench/counts.json has no counts that were taken {how}");
        let why = differences.map_or_else(none, |differences| differences.join(", "));
        println!("Nothing is compared: {why}. `--record` adds the counts of this environment.");
        return Ok(());
    }
    let findings = Findings::of(&recorded, &counts, options.quick);
    for line in findings.advice.iter().chain(&findings.failures) {
        println!("{line}.");
    }
    match findings.failures.len() {
        0 => Ok(()),
        modes => Err(format!("in {modes} of {} modes a call takes more than recorded", counts.len()).into()),
    }
}

/// A line of the table.
fn row([mode, instructions, recorded, change, allocations, recorded_allocations]: [&str; 6]) -> String {
    format!("{mode:>12} {instructions:>18} {recorded:>9} {change:>8} {allocations:>17} {recorded_allocations:>9}")
}

/// Counts each mode, and writes the file.
fn record(options: &Options, here: Environment) -> Outcome<()> {
    let mut counts = Counts::new();
    println!("{HEADING}");
    for &mode in Mode::value_variants() {
        let count = count(mode, options.lengths(), |_| false)?;
        let (name, Count { instructions, allocations }) = (mode.name(), count);
        println!("{name:>12} {instructions:>18.0} {allocations:>17.2}");
        counts.insert(name, count);
    }
    let path = Path::new(FILE);
    let mut recorded = Recorded::read(path)?;
    recorded.record(here, options.quick, counts);
    recorded.write(path)?;
    println!("recorded in {FILE}");
    Ok(())
}

/// Counts a mode, and again until the count is believed, at most [`RUNS`] times; the least counts.
fn count(mode: Mode, lengths: Lengths, is_believed: impl Fn(&Count) -> bool) -> Outcome<Count> {
    let mut totals = Totals::count(mode, lengths)?;
    for _ in 1..RUNS {
        if is_believed(&totals.of_a_call(lengths)) {
            break;
        }
        totals = totals.least(Totals::count(mode, lengths)?);
    }
    Ok(totals.of_a_call(lengths))
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    name.map_or_else(|| format!("unknown {} processor", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}
