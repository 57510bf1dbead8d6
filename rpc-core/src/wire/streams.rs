//! `Streams`: the streams that come with a call or its result.

use std::{ops::Deref, sync::Arc};

use super::TransferId;

/// The numbers of the streams among a call's arguments or in its result, in their order. Most calls have none, which
/// takes a null pointer and no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams(Option<Arc<Vec<TransferId>>>);

impl Deref for Streams {
    type Target = [TransferId];

    fn deref(&self) -> &[TransferId] {
        self.0.as_ref().map_or(&[], |ids| ids)
    }
}

impl From<Vec<TransferId>> for Streams {
    fn from(ids: Vec<TransferId>) -> Self {
        Self((!ids.is_empty()).then(|| Arc::new(ids)))
    }
}

impl<'a> IntoIterator for &'a Streams {
    type Item = &'a TransferId;
    type IntoIter = std::slice::Iter<'a, TransferId>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
