//! Turns samples into tables, a file of JSON lines, a page in Markdown, and charts.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
};

use common::{Outcome, median};
use serde_json::json;

use crate::{
    chart,
    driver::Machine,
    options::Options,
    peers::{AnyPeer, BASE},
    rows::{Row, Work},
    sample::{Sample, Use},
};

/// What is written while the rows are measured.
#[derive(Debug)]
pub(crate) struct Report {
    output: PathBuf,
    lines: File,
    page: String,
    caption: String,
    rows: Vec<(&'static Row, Vec<Figure>)>,
    failures: usize,
}

/// The samples of one peer in one row.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) peer: &'static str,
    /// With the round of each.
    pub(crate) samples: Vec<(usize, Sample)>,
    pub(crate) failure: Option<String>,
}

/// What one peer came to in one row.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) peer: &'static str,
    pub(crate) value: Spread,
    /// To the bare echo, more than 1 if this is better.
    ratio: Option<Spread>,
    samples: Vec<Sample>,
}

/// The median, and the least and the greatest of all rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Report {
    pub(crate) fn begin(options: &Options, peers: &[Box<dyn AnyPeer>]) -> Outcome<Self> {
        fs::create_dir_all(&options.output)
            .map_err(|error| format!("{} cannot be made ({error})", options.output.display()))?;
        let mut lines = File::create(options.output.join("compare.jsonl"))?;
        let machine = Machine::this();
        let (rounds, seconds) = (options.rounds(), options.seconds());
        let about: Vec<_> = peers.iter().map(|peer| json!({ "peer": peer.name(), "about": peer.about() })).collect();
        let first = json!({ "machine": machine, "rounds": rounds, "seconds": seconds,
            "sizes_divided_by": options.divisor(), "peers": about });
        writeln!(lines, "{first}")?;

        let mut caption =
            format!("{}, {} cores, {}, {}", machine.processor, machine.cores, machine.kernel, machine.rustc);
        let mut page =
            format!("{caption}; {rounds} rounds of {seconds} s; load before the first round: {:.2}\n\n", machine.load);
        if options.divisor() > 1 {
            let quick = format!("sizes and numbers of connections are divided by {}", options.divisor());
            writeln!(page, "Quick: {quick}.\n")?;
            caption.push_str(&format!("; {quick}"));
        }
        for peer in peers {
            writeln!(page, "- {}: {}", peer.name(), peer.about())?;
        }
        println!("{page}");
        Ok(Self { output: options.output.clone(), lines, page, caption, rows: Vec::new(), failures: 0 })
    }

    pub(crate) fn write_sample(&mut self, row: &Row, peer: &str, round: usize, sample: &Sample) -> Outcome<()> {
        let unit = row.unit().name;
        let line = json!({ "row": row.name, "peer": peer, "round": round, "unit": unit, "sample": sample });
        Ok(writeln!(self.lines, "{line}")?)
    }

    pub(crate) fn write_failure(&mut self, row: &Row, peer: &str, error: &str) -> Outcome<()> {
        self.failures += 1;
        eprintln!("{peer} failed in {}: {error}", row.name);
        Ok(writeln!(self.lines, "{}", json!({ "row": row.name, "peer": peer, "failure": error }))?)
    }

    /// Prints the row's table.
    pub(crate) fn end_row(&mut self, row: &'static Row, columns: Vec<Column>) {
        let base: Vec<_> = columns
            .iter()
            .filter(|column| column.peer == BASE)
            .flat_map(|column| column.samples.iter().map(|(round, sample)| (*round, sample.value)))
            .collect();
        let mut failures = String::new();
        let mut figures = Vec::new();
        for column in columns {
            if let Some(failure) = &column.failure {
                failures.push_str(&format!("{} failed: {failure}\n", column.peer));
            }
            figures.extend(Figure::new(column, &base, row.unit().more_is_better));
        }
        let table = table(row, &figures) + &failures;
        println!("{table}");
        self.page.push('\n');
        self.page.push_str(&table);
        self.rows.push((row, figures));
    }

    /// Writes the page and the charts. Fails if any peer has failed.
    pub(crate) fn end(mut self, note: Option<String>) -> Outcome<()> {
        if let Some(note) = note {
            println!("{note}");
            write!(self.page, "\n{note}")?;
        }
        fs::write(self.output.join("compare.md"), &self.page)?;
        chart::draw(&self.output, &self.caption, &self.rows)?;
        println!("compare.jsonl, compare.md and the charts are in {}", self.output.display());
        match self.failures {
            0 => Ok(()),
            failures => Err(format!("{failures} measurements failed; the errors are above").into()),
        }
    }
}

impl Column {
    pub(crate) fn new(peer: &'static str) -> Self {
        Self { peer, samples: Vec::new(), failure: None }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}

impl Figure {
    /// None without samples. The ratios compare samples of the same round, which were taken close together.
    fn new(column: Column, base: &[(usize, f64)], more_is_better: bool) -> Option<Self> {
        let ratios = column.samples.iter().filter_map(|(round, sample)| {
            let (_, base) = base.iter().find(|(of, _)| of == round)?;
            Some(if more_is_better { sample.value / base } else { base / sample.value })
        });
        let ratio = Spread::of(ratios.collect());
        let samples: Vec<_> = column.samples.into_iter().map(|(_, sample)| sample).collect();
        let value = Spread::of(samples.iter().map(|sample| sample.value).collect())?;
        Some(Self { peer: column.peer, value, ratio, samples })
    }

    /// The median of what is measured in some samples only.
    fn median(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        Some(Spread::of(self.samples.iter().filter_map(value).collect())?.median)
    }
}

impl Spread {
    fn of(values: Vec<f64>) -> Option<Self> {
        let least = values.iter().copied().reduce(f64::min)?;
        let greatest = values.iter().copied().reduce(f64::max)?;
        Some(Self { least, median: median(values), greatest })
    }
}

/// A Markdown table, aligned for the terminal too.
fn table(row: &Row, figures: &[Figure]) -> String {
    let unit = row.unit();
    let better = if unit.more_is_better { "more" } else { "less" };
    let used = if row.work == Work::Idle { "KiB each end" } else { "CPU us" };
    let spread = "least to greatest";
    let titles = ["peer", unit.name, spread, "to echo", spread, used, "writes", "allocations", "p50 us", "p99 us"];
    let mut lines = vec![titles.map(str::to_owned)];
    for figure in figures {
        let both = |value: fn(&Use) -> Option<f64>| {
            let server = figure.median(|sample| value(&sample.server))?;
            let client = figure.median(|sample| value(&sample.client))?;
            Some(format!("{} + {}", short(server), short(client)))
        };
        let processor = |used: &Use| used.user_us.zip(used.system_us).map(|(user, system)| user + system);
        let ratio = figure.ratio;
        let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        lines.push([
            figure.peer.to_owned(),
            short(figure.value.median),
            format!("{} to {}", short(figure.value.least), short(figure.value.greatest)),
            text(ratio.map(|ratio| format!("{:.2}", ratio.median))),
            text(ratio.map(|ratio| format!("{:.2} to {:.2}", ratio.least, ratio.greatest))),
            text(both(processor).or_else(|| both(|used| used.idle_kib))),
            text(both(|used| used.writes)),
            text(both(|used| used.allocations)),
            text(figure.median(|sample| sample.p50_us).map(short)),
            text(figure.median(|sample| sample.p99_us).map(short)),
        ]);
    }
    let widths: Vec<_> = (0..10).map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0)).collect();
    let mut table = format!("## {}: {} ({}, {better} is better)\n\n", row.name, row.title, unit.name);
    for (number, line) in lines.iter().enumerate() {
        for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            table.push_str(&if at == 0 { format!("| {cell:<width$} |") } else { format!(" {cell:>width$} |") });
        }
        table.push('\n');
        if number == 0 {
            for (at, &width) in widths.iter().enumerate() {
                table.push_str(&format!("{}{}|", if at == 0 { "|" } else { "" }, "-".repeat(width + 2)));
            }
            table.push('\n');
        }
    }
    table
}

/// Three or four digits that count.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        million if million >= 1e6 => format!("{:.2} M", value / 1e6),
        thousand if thousand >= 1e4 => format!("{:.1} k", value / 1e3),
        hundred if hundred >= 100.0 => format!("{value:.0}"),
        ten if ten >= 10.0 => format!("{value:.1}"),
        one if one >= 0.1 || one == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
