//! The map of the code in CONTRIBUTING.md names files and functions that are there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::root;

/// The paths in a row or paragraph of CONTRIBUTING.md, each with the function that is named behind it.
fn named_paths(text: &str) -> Vec<(String, Option<&str>)> {
    let mut paths = Vec::new();
    for quoted in text.split('`').skip(1).step_by(2) {
        let (path, function) = quoted.split_once(": ").map_or((quoted, None), |(path, name)| (path, Some(name)));
        let is_file = [".rs", ".md", ".json", ".toml"].iter().any(|end| path.ends_with(end));
        let is_path = (is_file || path.contains('/')) && !path.contains([' ', '*', '(', '[', '<', ':']);
        // `{a,b}` stands for two paths.
        let (before, rest) = path.split_once('{').unwrap_or((path, ""));
        let (choices, after) = rest.split_once('}').unwrap_or(("", ""));
        if is_path {
            paths.extend(choices.split(',').map(|choice| (format!("{before}{choice}{after}"), function)));
        }
    }
    paths
}

/// Whether a file, or one of a folder's files, has this function.
fn has_function(path: &Path, name: &str) -> bool {
    if path.is_dir() {
        let files = fs::read_dir(path).expect("a folder can be listed");
        return files.into_iter().any(|file| has_function(&file.expect("it can be read").path(), name));
    }
    let name = name.rsplit("::").next().unwrap_or(name);
    let text = fs::read_to_string(path).expect("a file can be read");
    [format!("fn {name}("), format!("fn {name}<")].iter().any(|begin| text.contains(begin))
}

#[test]
fn the_map_of_the_code_names_what_is_there() {
    let root = root();
    let page = fs::read_to_string(root.join("CONTRIBUTING.md")).expect("it can be read");
    let (_, map) = page.split_once("\n## The house\n").expect("the map begins");
    let (map, _) = map.split_once("\n## Rules\n").expect("the map ends");
    let mut seen = 0;
    for row in map.split("\n\n").flat_map(|part| part.split(if part.starts_with('|') { "\n" } else { "\n\n" })) {
        let mut before = PathBuf::new();
        for (path, function) in named_paths(row) {
            let around = before.ancestors().filter(|folder| folder.starts_with(root)).map(Path::to_owned);
            let places = [root.to_owned()].into_iter().chain(around).chain([root.join("rpc-core/src")]);
            let place = places.map(|place| place.join(&path)).find(|place| place.exists());
            before = place.unwrap_or_else(|| panic!("{path} is not there: {row}"));
            assert!(function.is_none_or(|name| has_function(&before, name)), "{path} has no {function:?}: {row}");
            seen += 1;
        }
    }
    assert!(seen > 150, "only {seen} paths are found");
}
