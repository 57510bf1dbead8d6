//! `SessionId`: what tells sessions apart.

use std::{
    error::Error,
    fmt,
    num::ParseIntError,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

/// Digits of a node in the text of an id.
const NODE_DIGITS: usize = 16;

/// Tells a session apart from all others of its process. Opaque: only equality and text have a meaning.
///
/// The text is a decimal number, for instance `17`. Beside it there is room for the node on which a session lives, in
/// front of a hyphen and in 16 hexadecimal digits: `00c0ffee5eed0001-17`. No session has a node yet, so an id with a
/// node can be parsed and printed, and names no session of this process. An id has exactly one text, which
/// [`FromStr`] turns back into the same id.
///
/// An id is no secret: numbers follow one another, the other end is told the id, and logs have it. Knowledge of an id
/// must never count as proof of identity.
///
/// ```
/// use rpc_core::SessionId;
///
/// let id: SessionId = "17".parse()?;
/// assert_eq!(id.to_string(), "17");
/// # Ok::<_, rpc_core::ParseSessionIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// 0 for a process that is no node of a cluster.
    node: u64,
    number: u64,
}

impl SessionId {
    /// An id that no other session of this process has had.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::local(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The session of this process that has this number.
    pub(crate) const fn local(number: u64) -> Self {
        Self { node: 0, number }
    }

    /// The number alone, unique among the sessions of this process: the wire and the protocol know no other.
    pub(crate) const fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            0 => write!(f, "{}", self.number),
            node => write!(f, "{node:0width$x}-{}", self.number, width = NODE_DIGITS),
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, ParseSessionIdError> {
        let wrong = |_: ParseIntError| ParseSessionIdError(());
        let (node, number) = text.split_once('-').unwrap_or(("0", text));
        let id = Self { node: u64::from_str_radix(node, 16).map_err(wrong)?, number: number.parse().map_err(wrong)? };
        // A sign, zeros in front or capitals would be a second text of the same id.
        if id.to_string() == text { Ok(id) } else { Err(ParseSessionIdError(())) }
    }
}

/// A text is not a [`SessionId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSessionIdError(());

impl fmt::Display for ParseSessionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this is not the text of a session's id, which is a decimal number such as 17, or 16 hexadecimal digits, \
             a hyphen and such a number; take the text that SessionId's Display gave, unchanged",
        )
    }
}

impl Error for ParseSessionIdError {}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn ids_are_told_apart_in_text_as_in_themselves() {
        let ids = [(0, 0), (0, 1), (0, 17), (0, u64::MAX), (1, 17), (0x00c0_ffee_5eed_0001, 17), (u64::MAX, u64::MAX)]
            .map(|(node, number)| SessionId { node, number });
        for id in ids {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(format!("{id:?}"), format!("SessionId({id})"));
        }
        assert_eq!(ids[2].to_string(), "17");
        assert_eq!(ids[5].to_string(), "00c0ffee5eed0001-17");
        assert_eq!(ids.map(|id| id.to_string()).iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(BTreeSet::from(ids).into_iter().eq(ids), "in order by node, then by number");
    }

    #[test]
    fn an_id_has_one_text() {
        let others = [
            "",
            "-",
            "17-",
            "-17",
            "+17",
            " 17",
            "017",
            "1a",
            "1-17",
            "18446744073709551616",
            "0000000000000000-17",
            "00C0FFEE5EED0001-17",
            "00c0ffee5eed0001-017",
            "00c0ffee5eed0001-17-1",
            "+0c0ffee5eed0001-17",
            "\u{661}",
        ];
        for text in others {
            let error = text.parse::<SessionId>().expect_err(text);
            assert!(error.to_string().contains("SessionId"), "{error}");
        }
    }

    #[test]
    fn each_session_has_an_id_of_its_own() {
        let (first, second) = (SessionId::next(), SessionId::next());
        assert!(first < second);
        assert_eq!(first, SessionId::local(first.number()));
    }
}
