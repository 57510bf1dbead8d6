//! Text that a peer has sent: functions that cut it to a length, and make it safe to show and to log.

use std::fmt::{self, Write};

/// The largest number of bytes of a peer's text that a status (message and details together), a GoAway or a close
/// reason keeps.
pub const MAX_PEER_TEXT: usize = 8 * 1024;
/// The largest number of characters of one text that a log line shows.
pub const MAX_LOGGED: usize = 200;

/// The beginning of a text, of at most `max` bytes, which ends between two characters.
pub fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Shows a text so that it stays on one line and does not change what stands around it: control characters (line
/// breaks, terminal escapes) and characters that change the direction of text or cannot be seen are written as `\n`,
/// `\u{1b}` and so on.
///
/// ```
/// use rpc_core::text::escaped;
///
/// assert_eq!(escaped("gone\n\u{1b}[31mINFO all is well").to_string(), "gone\\n\\u{1b}[31mINFO all is well");
/// ```
pub fn escaped(text: &str) -> Escaped<'_> {
    Escaped { text, most: usize::MAX }
}

/// As [`escaped`], for a log: at most the first [`MAX_LOGGED`] characters, and `…` if there are more.
pub fn excerpt(text: &str) -> Escaped<'_> {
    Escaped { text, most: MAX_LOGGED }
}

/// As [`excerpt`], for a value that has to be formatted first, such as an error. The value is formatted once, in full.
pub fn excerpt_of(value: &impl fmt::Display) -> String {
    let mut out = Excerpting { out: String::new(), left: MAX_LOGGED };
    // `Excerpting` gives an error when it has enough text; nothing else fails.
    let _ = write!(out, "{value}");
    out.out
}

/// The bytes of a long text that [`shortened`] keeps at its beginning and at its end.
const SHORTENED: usize = 1024;

/// A value as text, or the beginning and the end of the text with `…` between them if it is long.
pub(crate) fn shortened(value: impl fmt::Display) -> String {
    let mut out = Shortening { head: String::new(), tail: String::new(), is_long: false };
    // It never fails.
    let _ = write!(out, "{value}");
    let Shortening { mut head, tail, is_long } = out;
    if is_long {
        head.push('…');
    }
    head.push_str(last(&tail));
    head
}

/// See [`shortened`].
struct Shortening {
    head: String,
    /// What follows the head, or the end of it.
    tail: String,
    is_long: bool,
}

/// The end of a text, of at most [`SHORTENED`] bytes.
fn last(text: &str) -> &str {
    let mut begin = text.len().saturating_sub(SHORTENED);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    &text[begin..]
}

impl Write for Shortening {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let first = if self.tail.is_empty() { cut(text, SHORTENED - self.head.len()) } else { "" };
        self.head.push_str(first);
        let rest = &text[first.len()..];
        self.tail.push_str(last(rest));
        self.is_long |= last(rest).len() < rest.len();
        if self.tail.len() > 2 * SHORTENED {
            self.tail = last(&self.tail).to_owned();
            self.is_long = true;
        }
        Ok(())
    }
}

/// The largest number of names, and of their bytes, in a list within a message to the peer, so that the peer cannot
/// cause kilobytes of answer with a few bytes.
#[cfg(feature = "session")]
const LISTED: (usize, usize) = (5, 200);

/// Names for a message, with `joint` between them: the first ones, and how many more there are.
#[cfg(feature = "session")]
pub(crate) fn list<T: fmt::Display>(names: impl IntoIterator<Item = T>, joint: &str) -> String {
    let (most, bytes) = LISTED;
    let mut names = names.into_iter();
    let (mut out, mut count) = (String::new(), 0);
    let mut left_out = 0;
    for name in names.by_ref() {
        let name = name.to_string();
        if count == most || out.len() + joint.len() + name.len() > bytes {
            left_out = 1;
            break;
        }
        if count > 0 {
            out.push_str(joint);
        }
        out.push_str(&name);
        count += 1;
    }
    match (left_out + names.count(), count) {
        (0, _) => out,
        (more, 0) => format!("{more} with long names"),
        (more, _) => format!("{out} and {more} more"),
    }
}

/// See [`escaped`] and [`excerpt`].
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    text: &'a str,
    most: usize,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.text.char_indices().nth(self.most).map(|(at, _)| at);
        put_escaped(f, &self.text[..end.unwrap_or(self.text.len())])?;
        if end.is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// A writer that takes text until it has enough.
struct Excerpting {
    out: String,
    left: usize,
}

impl Write for Excerpting {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.left == 0 {
                self.out.push('…');
                return Err(fmt::Error);
            }
            self.left -= 1;
            put_char(&mut self.out, char)?;
        }
        Ok(())
    }
}

fn put_escaped(out: &mut impl Write, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(misleads) {
        out.write_str(&rest[..at])?;
        let mut chars = rest[at..].chars();
        chars.next().map_or(Ok(()), |char| put_char(out, char))?;
        rest = chars.as_str();
    }
    out.write_str(rest)
}

fn put_char(out: &mut impl Write, char: char) -> fmt::Result {
    if misleads(char) { write!(out, "{}", char.escape_default()) } else { out.write_char(char) }
}

/// Whether a character breaks lines, controls a terminal, changes the direction of text or is invisible.
fn misleads(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        for short in ["", "short", &"日".repeat(2 * SHORTENED / 3)] {
            assert_eq!(shortened(short), short);
        }
        for (long, parts) in [(10 * SHORTENED, 1), (10 * SHORTENED, 7), (2 * SHORTENED + 1, 3), (1 << 20, 1000)] {
            let text = format!("begin{}end", "日".repeat(long / 3));
            let mut out = Shortening { head: String::new(), tail: String::new(), is_long: false };
            let chars: Vec<_> = text.chars().collect();
            for part in chars.chunks(chars.len().div_ceil(parts)) {
                out.write_str(&part.iter().collect::<String>()).unwrap();
                assert!(out.head.len() + out.tail.len() <= 4 * SHORTENED);
            }
            let kept = shortened(&text);
            assert!(kept.len() <= 4 * SHORTENED, "{} bytes", kept.len());
            assert!(kept.starts_with("begin日日") && kept.ends_with("日日end") && kept.contains('…'), "{long}");
        }
    }

    #[test]
    fn what_breaks_lines_or_steers_a_terminal_is_escaped_and_the_rest_is_left_alone() {
        let cases = [
            ("plain, “quoted”, C:\\new, naïve 日本", "plain, “quoted”, C:\\new, naïve 日本"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[2Jgone\u{7f}\u{9b}", "\\u{1b}[2Jgone\\u{7f}\\u{9b}"),
            ("abc\u{202e}fdp.exe\u{2069}", "abc\\u{202e}fdp.exe\\u{2069}"),
            ("\u{2028}\u{2029}\u{feff}\u{200b}", "\\u{2028}\\u{2029}\\u{feff}\\u{200b}"),
            ("", ""),
        ];
        for (text, shown) in cases {
            assert_eq!(escaped(text).to_string(), shown);
            assert_eq!(excerpt(text).to_string(), shown);
            assert_eq!(excerpt_of(&text), shown);
        }
    }

    #[test]
    fn a_log_shows_the_beginning_of_a_long_text() {
        for text in ["ä".repeat(MAX_LOGGED), "\n".repeat(MAX_LOGGED)] {
            assert_eq!(excerpt(&text).to_string(), escaped(&text).to_string());
            let longer = text.clone() + "b";
            assert_eq!(excerpt(&longer).to_string(), escaped(&text).to_string() + "…");
            assert_eq!(excerpt_of(&longer), escaped(&text).to_string() + "…");
        }
    }

    #[cfg(feature = "session")]
    #[test]
    fn a_list_has_a_bound() {
        assert_eq!(list(["a", "b"], " or "), "a or b");
        assert_eq!(list(1..=5, ", "), "1, 2, 3, 4, 5");
        assert_eq!(list(1..=256, ", "), "1, 2, 3, 4, 5 and 251 more");
        let long = "x".repeat(150);
        assert_eq!(list([&long, &long, &long], ", "), format!("{long} and 2 more"));
        assert_eq!(list(["y".repeat(300)], ", "), "1 with long names");
        assert_eq!(list::<&str>([], ", "), "");
    }

    #[test]
    fn a_cut_never_divides_a_character() {
        assert_eq!((cut("aä", 2), cut("aä", 3), cut("aä", 100), cut("ä", 0)), ("a", "aä", "aä", ""));
    }
}
