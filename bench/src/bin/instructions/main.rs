//! How many instructions a call takes, both ends together. Run with
//! `cargo run --release --manifest-path bench/Cargo.toml --bin instructions`; needs valgrind.
//!
//! Unlike times, counts are nearly the same from run to run, on a busy machine too, so that they show a change of one
//! percent. Each mode runs in processes of its own under callgrind, once with some calls and once with more. The
//! difference, divided by the number of calls between, is what a call takes: connecting and ending drop out, and the
//! kernel's work is not in it. The same runs under dhat give the allocations of a call.

mod calls;

use std::{
    io::ErrorKind,
    process::{Child, Command, Stdio},
};

use calls::Mode;
use clap::{Parser, ValueEnum};
use common::Outcome;

/// Counts the instructions and the allocations of a call, both ends together.
#[derive(Debug, Parser)]
struct Options {
    /// Count fewer calls: quicker and less exact.
    #[arg(long)]
    quick: bool,
    /// Print one line of JSON for each mode.
    #[arg(long)]
    json: bool,
    /// Used by the program itself: make these calls.
    #[arg(long, hide = true)]
    make: Option<Mode>,
    /// Used by the program itself: how many calls.
    #[arg(long, hide = true, default_value_t = 0)]
    calls: u64,
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    match options.make {
        Some(mode) => calls::make(mode, options.calls),
        None => table(&options),
    }
}

fn table(options: &Options) -> Outcome<()> {
    let Some(valgrind) = valgrind_version()? else {
        eprintln!("valgrind is not installed, so nothing is counted: install it, as with `apt install valgrind`");
        return Ok(());
    };
    let (rustc, cpu) = (env!("RUSTC_VERSION"), cpu_name());
    if !options.json {
        println!("{rustc}, {valgrind}, {cpu}");
        println!("{:>9} {:>18} {:>17}", "mode", "instructions/call", "allocations/call");
    }
    // Multiples of 64, which 64 callers share evenly. The shorter runs are long enough for what only the first calls of
    // a session do: its memory stops growing after `Config::max_oneway_calls` one-way calls, which are 1,024.
    let lengths = if options.quick { [1088, 1600] } else { [2560, 8960] };
    let calls = lengths[1] - lengths[0];
    for &mode in Mode::value_variants() {
        let instructions = CALLGRIND.a_call(mode, lengths)?;
        let allocations = DHAT.a_call(mode, lengths)?;
        let name = name(mode)?;
        if options.json {
            // Rust quotes plain text as JSON does.
            let how = format!(r#""calls":{calls},"rustc":{rustc:?},"valgrind":{valgrind:?},"cpu":{cpu:?}"#);
            println!(r#"{{"mode":{name:?},"instructions":{instructions:.1},"allocations":{allocations:.3},{how}}}"#);
        } else {
            println!("{name:>9} {instructions:>18.0} {allocations:>17.2}");
        }
    }
    Ok(())
}

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

/// Lets `memset` and `memcpy` of glibc move whole vectors instead of using `rep stosb` and `rep movsb`. Valgrind counts
/// such an instruction once for each byte, so that clearing a read buffer would count far more than it takes.
const TUNABLES: &str = "glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000";

impl Tool {
    /// The count for one call.
    fn a_call(&self, mode: Mode, lengths: [u64; 2]) -> Outcome<f64> {
        let [some, more] = lengths.map(|calls| self.start(mode, calls));
        let [some, more] = [some?, more?].map(|child| self.finish(child));
        // Where a call takes nothing, noise may make the longer run the smaller one.
        Ok(more?.saturating_sub(some?) as f64 / (lengths[1] - lengths[0]) as f64)
    }

    /// Starts this program under the tool. Two at a time do not disturb each other's counts.
    fn start(&self, mode: Mode, calls: u64) -> Outcome<Child> {
        let child = Command::new("valgrind")
            .args(self.args)
            .arg(std::env::current_exe()?)
            .args(["--make", &name(mode)?, "--calls", &calls.to_string()])
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
fn valgrind_version() -> Outcome<Option<String>> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    name.map_or_else(|| format!("unknown {} processor", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}

fn name(mode: Mode) -> Outcome<String> {
    Ok(mode.to_possible_value().ok_or("a mode without a name")?.get_name().to_owned())
}
