//! The page on testing names tests that are there, and all rows.

use std::{collections::HashSet, fs, path::Path};

use super::root;

/// The names of all tests of the sources in a folder.
fn tests_in(folder: &Path, names: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            tests_in(&path, names);
        } else if name.ends_with(".rs") {
            tests_of(&fs::read_to_string(path).expect("a file can be read"), names);
        }
    }
}

/// The names of the tests of one file.
fn tests_of(source: &str, names: &mut HashSet<String>) {
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((before, rest)) = line.split_once("fn ").filter(|_| is_test) {
            let name = rest.split(['(', '<']).next().filter(|_| before.is_empty() || before == "async ");
            names.extend(name.map(str::to_owned));
            is_test = false;
        }
    }
    // Tests that are written once for two transports, and named in a list.
    for list in source.split("over_both!(").skip(1) {
        let list = list.split(')').next().unwrap_or_default();
        let list = list.rsplit(':').next().unwrap_or_default();
        names.extend(list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
    }
}

/// The rows of the table under a heading, each with its cells.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, part) = page.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let part = part.split("\n## ").next().unwrap_or(part);
    let lines = part.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What a cell has in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[track_caller]
fn assert_named(cell: &str, names: &HashSet<String>) {
    assert!(quoted(cell).count() > 0 || cell.contains("planned: "), "no test is named: {cell}");
    for name in quoted(cell) {
        assert!(names.contains(name), "there is no test {name}");
    }
}

#[test]
fn the_page_on_testing_names_tests_that_are_there() {
    let mut names = HashSet::new();
    tests_in(root(), &mut names);
    assert!(names.len() > 1000, "only {} tests are found", names.len());
    let page = fs::read_to_string(root().join("docs/testing.md")).expect("it can be read");

    let inputs = rows(&page, "Rows: what may come, and what has to follow");
    for (number, row) in (1..).zip(&inputs) {
        assert_eq!(row[0], number.to_string(), "the rows stand in their order");
        assert_eq!(row.len(), 5, "row {number}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "row {number} has an empty cell");
        assert_named(row[3], &names);
    }
    assert_eq!(inputs.len(), 44);

    let rules = rows(&page, "Rules that never bend");
    assert!(rules.len() > 20);
    for row in &rules {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert_eq!(quoted(row[1]).count(), 1, "{row:?}");
        assert!(quoted(row[1]).all(|path| root().join(path).is_file()), "{row:?}");
        assert_named(row[2], &names);
    }
}
