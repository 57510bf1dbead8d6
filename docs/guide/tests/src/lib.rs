//! The guide's chapters, so that their snippets are compiled and run as documentation tests: `cargo test -p guide`.

macro_rules! chapters {
    ($($name:ident = $file:literal;)*) => {
        $(#[doc = include_str!(concat!("../../", $file))] pub mod $name {})*

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
    hosting = "hosting.md";
    raw_websockets = "raw-websockets.md";
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
    use std::path::{Path, PathBuf};

    use super::CHAPTERS;

    fn directory() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the guide is around its tests")
    }

    #[test]
    fn no_chapter_is_forgotten() {
        let files = std::fs::read_dir(directory()).expect("the guide is there");
        let names = files.map(|file| file.expect("it can be read").file_name().to_string_lossy().into_owned());
        let mut chapters: Vec<_> = names.filter(|name| name.ends_with(".md")).collect();
        let mut tested: Vec<_> = CHAPTERS.iter().map(ToString::to_string).collect();
        chapters.sort();
        tested.sort();
        assert_eq!(chapters, tested);
    }

    /// All pages of the repository, by their path from its root.
    fn pages() -> Vec<(PathBuf, String)> {
        let root = directory().parent().and_then(Path::parent).expect("the guide is in docs");
        let folders = [root.to_owned(), root.join("docs"), directory().to_owned()];
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("it can be listed"));
        let paths = files.map(|file| file.expect("it can be read").path());
        let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        pages.map(|path| (path.clone(), std::fs::read_to_string(path).expect("it can be read"))).collect()
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
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
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
                    let page = std::fs::read_to_string(target).expect("a page with headings can be read");
                    assert!(has_heading(&page, heading), "{}: {link}", path.display());
                }
            }
        }
    }

    /// Tests and programs that a page tells its reader to run.
    #[test]
    fn commands_name_what_is_there() {
        let root = directory().parent().and_then(Path::parent).expect("the guide is in docs");
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
                assert!(places.iter().any(|place| root.join(place).exists()), "{}: {pair:?}", path.display());
            }
        }
        assert!(seen > 4, "the pages name tests and programs");
    }
}
