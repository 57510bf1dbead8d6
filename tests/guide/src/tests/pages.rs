//! The pages of the guide and of the repository: none is forgotten, and links and commands lead somewhere.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::root;
use crate::CHAPTERS;

fn directory() -> PathBuf {
    root().join("rpc-core/guide")
}

#[test]
fn no_chapter_is_forgotten() {
    let files = fs::read_dir(directory()).expect("the guide is there");
    let names = files.map(|file| file.expect("it can be read").file_name().to_string_lossy().into_owned());
    let mut chapters: Vec<_> = names.filter(|name| name.ends_with(".md")).collect();
    let mut tested: Vec<_> = CHAPTERS.iter().map(ToString::to_string).collect();
    chapters.sort();
    tested.sort();
    assert_eq!(chapters, tested);

    let shown = fs::read_to_string(root().join("rpc-core/src/guide/mod.rs")).expect("it can be read");
    for chapter in CHAPTERS {
        let named = shown.contains(&format!("= \"{chapter}\";")) || shown.contains(&format!("/guide/{chapter}\""));
        assert!(named, "the documentation of rpc_core::guide has no module for {chapter}");
    }
}

/// All pages of the repository, by their path from its root.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = [root().to_owned(), root().join("docs"), directory()];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("it can be listed"));
    let paths = files.map(|file| file.expect("it can be read").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).expect("it can be read"))).collect()
}

/// The link definitions of a page, `[label]: target`.
fn definitions(page: &str) -> BTreeMap<&str, &str> {
    let lines = page.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    lines.filter(|(_, target)| !target.contains(' ')).collect()
}

/// Whether a page has a heading that a link finds by this name.
fn has_heading(page: &str, name: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let mut names = headings.map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect::<String>()
    });
    names.any(|heading| heading == name)
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() > CHAPTERS.len());
    for (path, text) in &pages {
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in inline.chain(definitions(text).into_values()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => path.parent().expect("a page is in a folder").join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !heading.is_empty() {
                let page = fs::read_to_string(target).expect("a page with headings can be read");
                assert!(has_heading(&page, heading), "{}: {link}", path.display());
            }
        }
    }
}

/// In the file view a link leads where its page says; in the documentation, where `links.md` of `rpc_core::guide`
/// says. Both have to mean the same.
#[test]
fn links_of_the_guide_lead_to_the_same_in_the_documentation() {
    let links = fs::read_to_string(root().join("rpc-core/src/guide/links.md")).expect("it can be read");
    let links = definitions(&links);
    let mut used = Vec::new();
    for chapter in CHAPTERS {
        let page = fs::read_to_string(directory().join(chapter)).expect("it can be read");
        let inline = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in inline.filter(|link| !link.contains(' ')) {
            let works = link.contains("://") || link.starts_with('#');
            assert!(works, "{chapter}: {link} leads nowhere in the documentation; define the link below the page");
        }
        for (label, target) in definitions(&page) {
            used.push(label.to_owned());
            let shown = links.get(label).unwrap_or_else(|| panic!("{chapter}: links.md lacks [{label}]"));
            if let Some(item) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`')) {
                assert!(shown.ends_with(&format!("::{item}")), "[{label}]: {shown}");
                let source = fs::read_to_string(directory().join(target)).expect("a file of the source");
                let defined = ["struct", "enum", "trait"].map(|kind| format!("pub {kind} {item}"));
                assert!(defined.iter().any(|line| source.contains(line)), "{chapter}: {target} lacks {item}");
                continue;
            }
            let (name, heading) = label.split_once('#').unwrap_or((label, ""));
            let hash = if heading.is_empty() { "" } else { "#" };
            assert_eq!(target, format!("{name}.md{hash}{heading}"), "{chapter}: [{label}]");
            let module = match name {
                "README" => String::new(),
                _ => format!("::{}", name.replace('-', "_")),
            };
            assert_eq!(*shown, format!("crate::guide{module}{hash}{heading}"), "links.md: [{label}]");
        }
    }
    let unused: Vec<_> = links.keys().filter(|label| !used.iter().any(|used| used == *label)).collect();
    assert!(unused.is_empty(), "no page uses these links of links.md: {unused:?}");
}

/// Tests and programs that a page tells its reader to run.
#[test]
fn commands_name_what_is_there() {
    let mut seen = 0;
    for (path, text) in pages() {
        let words: Vec<_> = text.split_whitespace().map(|word| word.trim_matches('`')).collect();
        for pair in words.windows(2) {
            let name = pair[1].trim_matches(|letter: char| !letter.is_alphanumeric());
            let places = match pair[0] {
                "--test" => {
                    ["core", "client", "server", "macros"].map(|of| format!("rpc-{of}/tests/{name}.rs")).to_vec()
                }
                "--bin" => vec![format!("bench/src/bin/{name}.rs"), format!("bench/src/bin/{name}/main.rs")],
                _ => continue,
            };
            seen += 1;
            assert!(places.iter().any(|place| root().join(place).exists()), "{}: {pair:?}", path.display());
        }
    }
    assert!(seen > 4, "the pages name tests and programs");
}

/// The variants of a public enum, as its source has them.
fn variants(source: &str, name: &str) -> Vec<String> {
    let (_, rest) = source.split_once(&format!("pub enum {name} {{\n")).expect("the enum is there");
    let (body, _) = rest.split_once("\n}\n").expect("the enum ends");
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    lines.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

#[test]
fn the_tables_of_errors_are_whole() {
    let page = fs::read_to_string(directory().join("errors.md")).expect("it can be read");
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next()).collect();
    for (file, name, most) in
        [("rpc-client/src/error.rs", "ConnectError", 19), ("rpc-core/src/error/connection.rs", "ConnectionError", 9)]
    {
        let variants = variants(&fs::read_to_string(root().join(file)).expect("it can be read"), name);
        assert!(variants.len() >= most, "{variants:?}");
        for variant in variants {
            assert!(rows.iter().any(|row| row.contains(&format!("`{variant}`"))), "errors.md lacks {name}::{variant}");
        }
    }
}
