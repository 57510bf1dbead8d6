//! What differs between two values, as their `Debug` shows it.

use std::fmt::{Debug, Write};

/// The most lines that are shown of each value.
const LINES: usize = 12;
/// The most characters that are shown of a line.
const COLUMNS: usize = 160;

/// The lines in which two values differ, with a line before and behind them.
pub(super) fn difference(sent: &impl Debug, arrived: &impl Debug) -> String {
    let (sent, arrived) = (format!("{sent:#?}"), format!("{arrived:#?}"));
    if sent == arrived {
        let first: Vec<_> = sent.lines().take(LINES).collect();
        return format!("  {}\n  (both look the same; `PartialEq` tells them apart)", first.join("\n  "));
    }
    let (old, new): (Vec<_>, Vec<_>) = (sent.lines().collect(), arrived.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[same..], &new[same..]);
    let behind = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();

    let mut out = String::new();
    if let Some(before) = same.checked_sub(1) {
        put(&mut out, ' ', &old[before..same]);
    }
    put(&mut out, '-', &old_rest[..old_rest.len() - behind]);
    put(&mut out, '+', &new_rest[..new_rest.len() - behind]);
    put(&mut out, ' ', &old_rest[old_rest.len() - behind..][..behind.min(1)]);
    out.truncate(out.trim_end().len());
    out
}

fn put(out: &mut String, sign: char, lines: &[&str]) {
    for line in lines.iter().take(LINES) {
        let shown: String = line.chars().take(COLUMNS).collect();
        // Writing to a text cannot fail.
        let _ = writeln!(out, "  {sign} {shown}{}", if shown.len() < line.len() { "…" } else { "" });
    }
    if lines.len() > LINES {
        let _ = writeln!(out, "  {sign} … {} more lines", lines.len() - LINES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_differ() {
        assert_eq!(difference(&(1, 2, 3), &(1, 4, 3)), "        1,\n  -     2,\n  +     4,\n        3,");
        assert_eq!(difference(&Some(()), &None::<()>), "  - Some(\n  -     (),\n  - )\n  + None");
        assert_eq!(difference(&1, &1), "  1\n  (both look the same; `PartialEq` tells them apart)");
    }

    #[test]
    fn long_values_are_cut() {
        let shown = difference(&vec![0; 40], &"x".repeat(1000));
        assert!(shown.contains("- … 30 more lines") && shown.ends_with('…') && shown.len() < 1000, "{shown}");
    }
}
