//! The guide's chapters (`rpc-core/guide`), so that their snippets are compiled and run as documentation tests:
//! `cargo test -p guide`. Readers see them as the documentation of `rpc_core::guide`.

macro_rules! chapters {
    ($($name:ident = $file:literal;)*) => {
        $(#[doc = include_str!(concat!("../../../rpc-core/guide/", $file))] pub mod $name {})*

        /// The files that are tested.
        pub const CHAPTERS: &[&str] = &[$($file),*];
    };
}

chapters! {
    index = "README.md";
    contracts = "contracts.md";
    errors = "errors.md";
    deadlines = "deadlines.md";
    cancelling = "cancelling.md";
    streams = "streams.md";
    deadlocks = "deadlocks.md";
    sessions = "sessions.md";
    authentication = "authentication.md";
    hosting = "hosting.md";
    interceptors = "interceptors.md";
    testing = "testing.md";
    evolving = "evolving.md";
    from_wcf = "from-wcf.md";
    from_signalr = "from-signalr.md";
    from_tonic = "from-tonic.md";
    from_tarpc = "from-tarpc.md";
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        fs,
        path::{Path, PathBuf},
    };

    use super::CHAPTERS;

    fn root() -> &'static Path {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        tests.and_then(Path::parent).expect("this crate is in `tests` of the repository")
    }

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
                    "--test" => vec![format!("rpc-core/tests/{name}.rs")],
                    "--bin" => vec![format!("bench/src/bin/{name}.rs"), format!("bench/src/bin/{name}/main.rs")],
                    _ => continue,
                };
                seen += 1;
                assert!(places.iter().any(|place| root().join(place).exists()), "{}: {pair:?}", path.display());
            }
        }
        assert!(seen > 4, "the pages name tests and programs");
    }

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
}
