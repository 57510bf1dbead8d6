//! The habits that neither rustfmt nor clippy check: one nested `use` a crate, prose and comments within 120 columns
//! and without vague words, files within 450 lines. `.ci/run` compiles this file with plain rustc. `habits` checks;
//! `habits wrap` breaks the lines that are too long, as far as they can be broken.

use std::{
    env, fs,
    process::{Command, ExitCode},
};

/// What a line of prose may take, in bytes, as many tools count columns.
const COLUMNS: usize = 120;

/// What a file of a crate's sources may take.
const LINES: usize = 450;

/// Prose that is not wrapped: what a release says is pasted where line breaks are kept, and the lines of the macros'
/// test programs are numbered in the messages that the tests expect.
const UNWRAPPED: [&str; 2] = ["CHANGELOG.md", "rpc-macros/tests/ui/"];

/// Words, and words in a row, that do not say who, what or how many are meant.
const VAGUE: [&str; 9] =
    ["nobody", "somebody", "whoever", "whatever", "so many", "so much", "so long", "that of", "the one that"];

fn main() -> ExitCode {
    let wrapping = match env::args().nth(1).as_deref() {
        None => false,
        Some("wrap") => true,
        Some(other) => {
            eprintln!("habits knows no `{other}`: call it without arguments to check, or with `wrap` to wrap prose");
            return ExitCode::FAILURE;
        }
    };
    let mut faults = Vec::new();
    for path in tracked() {
        // A file that git knows may have been deleted here.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Some(kind) = Kind::of(&path, &text) else { continue };
        let wrapped = UNWRAPPED.iter().all(|spared| !path.starts_with(spared));
        if wrapping && wrapped {
            let better = wrap(kind, &text);
            if better != text {
                fs::write(&path, better).expect("a tracked file can be written");
            }
            continue;
        }
        let mut found = if wrapped { long_lines(kind, &text) } else { Vec::new() };
        found.extend(vague_words(kind, &text));
        if kind == Kind::Rust {
            found.extend(split_imports(&text));
            let lines = text.lines().count();
            if path.contains("/src/") && lines > LINES {
                let advice = "move one of its concerns to a file of its own";
                found.push((LINES + 1, format!("the file has {lines} lines, more than {LINES}: {advice}")));
            }
        }
        faults.extend(found.into_iter().map(|(line, fault)| format!("{path}:{line}: {fault}")));
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The files that git tracks, and new files that it does not ignore.
fn tracked() -> Vec<String> {
    let list = Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).output();
    let list = list.expect("git lists the files of the work tree");
    assert!(list.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&list.stderr));
    String::from_utf8_lossy(&list.stdout).lines().map(str::to_owned).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Prose stands in comments.
    Rust,
    /// Prose stands in comments that begin with `#`.
    Script,
    /// All is prose but for code, tables and headings.
    Markdown,
}

impl Kind {
    fn of(path: &str, text: &str) -> Option<Self> {
        match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("rs") => Some(Self::Rust),
            Some("md") => Some(Self::Markdown),
            Some("toml") => Some(Self::Script),
            _ if text.starts_with("#!") => Some(Self::Script),
            _ => None,
        }
    }
}

/// The marks before the prose of a line, and the prose; none where the line is no prose.
fn prose(kind: Kind, line: &str) -> Option<(&str, &str)> {
    let after = line.trim_start();
    let marks = match kind {
        Kind::Markdown => return Some(("", line)),
        Kind::Rust => ["//!", "///", "//"].iter().find(|marks| after.starts_with(**marks))?,
        Kind::Script => ["#"].iter().find(|marks| after.starts_with(**marks) && !after.starts_with("#!"))?,
    };
    let (marks, prose) = line.split_at(line.len() - after.len() + marks.len());
    let space = usize::from(prose.starts_with(' '));
    Some(line.split_at(marks.len() + space))
}

/// Whether prose of this line may be broken; follows the fences of code from line to line.
#[derive(Default)]
struct Blocks {
    code: bool,
    /// Whether the last line was blank, so that an indented line begins code.
    blank: bool,
    indented: bool,
}

impl Blocks {
    fn is_text(&mut self, body: &str) -> bool {
        let trimmed = body.trim_start();
        let indent = body.len() - trimmed.len();
        let blank = std::mem::replace(&mut self.blank, trimmed.is_empty());
        if trimmed.starts_with("```") {
            self.code = !self.code;
            return false;
        }
        self.indented = indent >= 4 && (self.indented || blank);
        let apart = ["|", "#", "<"].iter().any(|mark| trimmed.starts_with(mark));
        let definition = trimmed.starts_with('[') && trimmed.contains("]: ");
        !(self.code || self.indented || apart || definition || trimmed.is_empty())
    }
}

/// The width of a list's or a quote's marks before the first word.
fn marks(body: &str) -> usize {
    let text = body.trim_start_matches([' ', '>']);
    let start = body.len() - text.len();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let mark = match text.as_bytes() {
        [b'-' | b'*' | b'+', b' ', ..] => 2,
        bytes if digits > 0 && bytes[digits..].starts_with(b". ") => digits + 2,
        _ => 0,
    };
    start + mark
}

/// Where the body can be broken so that the first part fits, and no mark of a list or a heading begins the second.
fn breaking(body: &str, room: usize) -> Option<usize> {
    let (mut columns, mut code, mut found) = (0, false, None);
    let closed = body.matches('`').count() % 2 == 0;
    for (at, char) in body.char_indices() {
        if char == '`' {
            code = closed && !code;
        }
        let next = body[at..].trim_start();
        let safe = marks(next) == 0 && !next.starts_with(['#', '|', '<']) && !next.is_empty();
        if char == ' ' && !code && at > marks(body) && safe {
            if columns > room && found.is_some() {
                break;
            }
            if columns <= room || found.is_none() {
                found = Some((at, columns));
            }
        }
        columns += char.len_utf8();
    }
    found.filter(|(_, columns)| *columns <= room).map(|(at, _)| at)
}

/// Where a comment begins behind code, if the line has one. A mark inside of a text does not count.
fn comment_behind_code(kind: Kind, line: &str) -> Option<usize> {
    let mark = match kind {
        Kind::Markdown => return None,
        Kind::Rust => " // ",
        Kind::Script => " # ",
    };
    if prose(kind, line).is_some() {
        return None;
    }
    line.match_indices(mark).map(|(at, _)| at).find(|at| {
        let code = &line[..*at];
        let is_outside = |quote| (code.matches(quote).count() - code.matches(&format!("\\{quote}")).count()) % 2 == 0;
        !code.trim().is_empty() && is_outside("\"") && (kind == Kind::Rust || is_outside("'"))
    })
}

/// Lines of prose that are too long and could be broken, and comments that make a line of code too long.
fn long_lines(kind: Kind, text: &str) -> Vec<(usize, String)> {
    let mut blocks = Blocks::default();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let columns = line.len();
        let Some((marks, body)) = prose(kind, line) else {
            blocks = Blocks::default();
            if columns > COLUMNS && comment_behind_code(kind, line).is_some() {
                let advice = "put the comment on a line before";
                faults.push((number, format!("code and comment of {columns} columns, more than {COLUMNS}: {advice}")));
            }
            continue;
        };
        if blocks.is_text(body) && columns > COLUMNS && breaking(body, COLUMNS - marks.len()).is_some() {
            let advice = "break it, or let `.ci/habits wrap` do it";
            faults.push((number, format!("prose of {columns} columns, more than {COLUMNS}: {advice}")));
        }
    }
    faults
}

/// Words of prose that are [`VAGUE`], also where words in a row stand on two lines.
fn vague_words(kind: Kind, text: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let mut before: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some((_, body)) = prose(kind, line) else {
            before.clear();
            continue;
        };
        for token in body.split_whitespace() {
            let lower = token.to_lowercase();
            let word = lower.trim_matches(|char: char| !char.is_alphanumeric());
            let word = word.strip_suffix("'s").unwrap_or(word);
            before.push(word.to_owned());
            let ends_with = |vague: &str| before.ends_with(&vague.split(' ').map(str::to_owned).collect::<Vec<_>>());
            if let Some(found) = VAGUE.iter().find(|vague| ends_with(vague)) {
                let advice = "name the party, the thing, the number or the limit";
                faults.push((number, format!("`{found}` is vague: {advice}")));
            }
            // Words with punctuation between them do not stand in a row.
            if !lower.ends_with(char::is_alphanumeric) {
                before.clear();
            }
        }
    }
    faults
}

/// The text with its long lines of prose broken, each rest put before the next line of its paragraph.
fn wrap(kind: Kind, text: &str) -> String {
    let mut blocks = Blocks::default();
    let mut out = String::new();
    let mut lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].clone();
        at += 1;
        let Some((before, body)) = prose(kind, &line) else {
            blocks = Blocks::default();
            out.extend([&line, "\n"]);
            continue;
        };
        let room = COLUMNS - before.len();
        let end = (blocks.is_text(body) && line.len() > COLUMNS).then(|| breaking(body, room)).flatten();
        let Some(end) = end else {
            out.extend([&line, "\n"]);
            continue;
        };
        let (first, rest) = (&body[..end], body[end..].trim_start());
        out.extend([before, first, "\n"]);
        let quote = &body[..body.len() - body.trim_start_matches([' ', '>']).len()];
        let indent = format!("{quote}{}", " ".repeat(marks(body) - quote.len()));
        let next = lines.get(at).and_then(|next| prose(kind, next)).filter(|(marks, _)| *marks == before);
        let joined = next.map(|(_, next)| next).filter(|next| {
            let plain = marks(next) == indent.len() && next[..indent.len()].trim_matches([' ', '>']).is_empty();
            plain && Blocks::default().is_text(next) && !line.ends_with("  ")
        });
        match joined {
            Some(next) => lines[at] = format!("{before}{indent}{rest} {}", &next[indent.len()..]),
            None => lines.insert(at, format!("{before}{indent}{rest}")),
        }
    }
    out
}

/// `use` items of one crate beside each other, which belong into one.
fn split_imports(text: &str) -> Vec<(usize, String)> {
    let mut seen: Vec<(usize, String, usize)> = Vec::new();
    let (mut faults, mut attribute) = (Vec::new(), false);
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.is_empty() || trimmed.starts_with("//") {
            continue;
        }
        // A `use` that stands further in than this line belongs to another block.
        seen.retain(|(depth, ..)| *depth <= indent);
        // One with an attribute cannot be merged.
        if let Some((visibility, path)) = import(trimmed).filter(|_| !attribute) {
            let root = path.split([':', ';', ' ', '{', ',']).next().unwrap_or_default();
            let key = format!("{visibility}use {root}");
            match seen.iter().find(|(depth, other, _)| *depth == indent && *other == key) {
                Some((_, _, first)) => {
                    let advice = format!("name all of it in one nested `{key}::{{…}}`");
                    faults.push((number, format!("a second `{key}`, the first is in line {first}: {advice}")));
                }
                None => seen.push((indent, key, number)),
            }
        }
        attribute = trimmed.starts_with("#[");
    }
    faults
}

/// The visibility and the path of a `use` item.
fn import(line: &str) -> Option<(&str, &str)> {
    let at = if line.starts_with("use ") { 0 } else { line.find(" use ")? + 1 };
    let visibility = &line[..at];
    let is_visibility = visibility.is_empty() || visibility == "pub " || visibility.starts_with("pub(");
    let path = line[at..].strip_prefix("use ")?;
    (is_visibility && !path.starts_with('{')).then_some((visibility, path))
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Kind, long_lines, split_imports, vague_words, wrap};

    fn lines_of(faults: Vec<(usize, String)>) -> Vec<usize> {
        faults.into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_second_use_of_a_crate_is_found_in_its_block_only() {
        let text = "use std::io;\nuse std::fmt;\npub use std::vec;\nmod a {\n    use std::io;\n}\nmod b {\n    use std::io;\n}\n";
        assert_eq!(lines_of(split_imports(text)), [2]);
        assert_eq!(lines_of(split_imports("use std::io;\n#[cfg(test)]\nuse std::fmt;\nuse stdx::a;\n")), [0; 0]);
        let nested = "use a::{\n    b,\n    c,\n};\nuse a::d;\n";
        assert_eq!(lines_of(split_imports(nested)), [5]);
    }

    #[test]
    fn long_prose_is_found_and_wrapped() {
        let words = "word ".repeat(40);
        let text = format!("/// {}\n/// end.\nlet a = \"{words}\";\n", words.trim());
        assert_eq!(lines_of(long_lines(Kind::Rust, &text)), [1]);
        let better = wrap(Kind::Rust, &text);
        assert_eq!(lines_of(long_lines(Kind::Rust, &better)), [0; 0]);
        assert_eq!(better.split_whitespace().filter(|word| *word == "word").count(), 80 - 1);
        assert!(better.contains("word end.\n"), "{better}");
        let sections = "§ ".repeat(COLUMNS / 2);
        assert_eq!(lines_of(long_lines(Kind::Markdown, sections.trim())), [1]);
        let better = wrap(Kind::Markdown, sections.trim());
        assert!(better.lines().all(|line| line.len() <= COLUMNS), "{better}");
    }

    #[test]
    fn a_comment_behind_code_counts_with_its_line() {
        let words = "word ".repeat(30);
        let words = words.trim();
        for (kind, long) in [
            (Kind::Rust, format!("    let a = b; // {words}\n")),
            (Kind::Rust, format!("    let a = \"a \\\" b\"; // {words}\n")),
            (Kind::Script, format!("name = \"value\" # {words}\n")),
            (Kind::Script, format!("run 'a' # {words}\n")),
        ] {
            assert_eq!(lines_of(long_lines(kind, &long)), [1], "{long}");
        }
        for (kind, fine) in [
            (Kind::Rust, "let a = b; // word\n".to_owned()),
            (Kind::Rust, format!("let a = \"a // {words}\";\n")),
            (Kind::Rust, format!("let a = \"{words}\";\n")),
            (Kind::Script, format!("run \"a # {words}\"\n")),
            (Kind::Script, format!("run 'a # {words}'\n")),
            (Kind::Markdown, format!("```rust\nlet a = b; // {words}\n```\n")),
        ] {
            assert_eq!(lines_of(long_lines(kind, &fine)), [0; 0], "{fine}");
        }
    }

    #[test]
    fn a_list_keeps_its_indentation_and_code_tables_and_links_stay() {
        let words = "word ".repeat(30);
        let words = words.trim();
        let better = wrap(Kind::Markdown, &format!("- {words}\n- next\n"));
        assert!(better.contains("\n  word") && better.ends_with("\n- next\n"), "{better}");
        for kept in [
            format!("| {words} |\n"),
            format!("```text\n{words}\n```\n"),
            format!("a\n\n    {words}\n"),
            format!("[{}]\n", "x".repeat(COLUMNS)),
            format!("## {words}\n"),
        ] {
            assert_eq!(wrap(Kind::Markdown, &kept), kept);
            assert_eq!(lines_of(long_lines(Kind::Markdown, &kept)), [0; 0]);
        }
    }

    #[test]
    fn vague_words_are_found_in_prose_only() {
        let text = "/// Waits for so\n/// many calls. Nobody's (whoever) call.\nlet a = \"nobody\";\n// So much.\n";
        assert_eq!(lines_of(vague_words(Kind::Rust, text)), [2, 2, 2, 4]);
        assert_eq!(lines_of(vague_words(Kind::Markdown, "```\nsomebody\n```\n")), [2]);
        assert_eq!(lines_of(vague_words(Kind::Markdown, "the\none that is\nthat of\nWhatever")), [2, 3, 4]);
        for plain in [
            "the one. That",
            "the only one that",
            "that, of",
            "Also many",
            "If so, many",
            "so\n\nlong_lines",
            "so that",
            "some body",
        ] {
            assert_eq!(lines_of(vague_words(Kind::Markdown, plain)), [0; 0], "{plain}");
        }
        assert_eq!(lines_of(vague_words(Kind::Rust, "// so\nlet a = 1;\n// many\n")), [0; 0]);
    }

    #[test]
    fn no_line_begins_with_what_would_be_a_list() {
        let text = format!("{} - dash\n", "x".repeat(COLUMNS - 2));
        let better = wrap(Kind::Markdown, &text);
        assert!(!better.contains("\n- "), "{better}");
    }
}
