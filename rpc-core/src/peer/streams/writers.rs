//! `StreamWriters`: the streams of a call or a result that are to be sent.

use super::{StreamWriter, watch::StreamWatch};

/// The streams of a call or a result. Most calls have none, so the empty case takes one word and no allocation.
#[derive(Debug, Default)]
#[allow(clippy::box_collection, reason = "calls and answers are moved more often than they have streams")]
pub struct StreamWriters(Option<Box<Vec<StreamWriter>>>);

impl StreamWriters {
    /// These writers.
    #[inline]
    pub fn of<const N: usize>(writers: [StreamWriter; N]) -> Self {
        if N == 0 { Self(None) } else { Self(Some(Box::new(writers.into()))) }
    }

    pub(crate) fn push(&mut self, writer: StreamWriter) {
        self.0.get_or_insert_default().push(writer);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |writers| writers.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Watches the first stream; without one, nothing is ever reported.
    pub(crate) fn watch(&mut self, watch: StreamWatch) {
        match self.0.as_mut().and_then(|writers| writers.first_mut()) {
            Some(writer) => writer.watch = watch,
            None => watch.forget(),
        }
    }
}

impl IntoIterator for StreamWriters {
    type Item = StreamWriter;
    type IntoIter = std::vec::IntoIter<StreamWriter>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(|writers| *writers).unwrap_or_default().into_iter()
    }
}
