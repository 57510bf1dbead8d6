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
    use std::path::Path;

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

    #[test]
    fn links_lead_somewhere() {
        for chapter in CHAPTERS {
            let text = std::fs::read_to_string(directory().join(chapter)).expect("it can be read");
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap_or_default();
                let local = !file.is_empty() && !file.contains("://") && !file.contains(' ');
                assert!(!local || directory().join(file).exists(), "{chapter}: {link}");
            }
        }
    }
}
