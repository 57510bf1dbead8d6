//! `LinkPlace`: where a session has its link, or none.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::LazyLock,
    time::Instant,
};

use super::Link;
use crate::config::Config;

/// What stands in the place of a link while there is none: nothing is heard, said or judged. Its times are never
/// looked at.
static NONE: LazyLock<Link> = LazyLock::new(none);

fn none() -> Link {
    let mut link = Link::new(&Config::default(), None, Instant::now());
    link.end();
    link
}

/// The link of a session. There may be many sessions without a link, so the place of one takes no more than a pointer,
/// and reads as a link that has ended. What is written to a place without a link takes the memory of a link until the
/// next one comes, and means nothing.
pub(crate) struct LinkPlace(Option<Box<Link>>);

impl LinkPlace {
    pub(crate) fn new(link: Link) -> Self {
        Self(Some(Box::new(link)))
    }

    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// The link, if there is one.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut Link> {
        self.0.as_deref_mut()
    }
}

impl Deref for LinkPlace {
    type Target = Link;

    #[inline]
    fn deref(&self) -> &Link {
        match &self.0 {
            Some(link) => link,
            None => &NONE,
        }
    }
}

impl DerefMut for LinkPlace {
    #[inline]
    fn deref_mut(&mut self) -> &mut Link {
        self.0.get_or_insert_with(boxed)
    }
}

#[cold]
fn boxed() -> Box<Link> {
    Box::new(none())
}

impl fmt::Debug for LinkPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
