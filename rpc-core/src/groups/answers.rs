//! `Answers`: a call to many sessions, and their answers as they come.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;

use super::Member;

/// The answers of many sessions, as they come. The calls go out as this is polled; dropping it cancels those that are
/// under way.
#[must_use = "the calls go out when the answers are asked for"]
pub struct Answers<T, E>(PhantomData<fn() -> (T, E)>);

impl<T, E> Answers<T, E> {
    /// The first answer that is no error, with its member; `None` if there is none. The other calls are cancelled.
    pub async fn first_ok(self) -> Option<(Member, T)> {
        todo!()
    }

    /// All answers, in the order in which they came.
    pub async fn collect(self) -> Vec<(Member, Result<T, E>)> {
        todo!()
    }
}

impl<T, E> Stream for Answers<T, E> {
    type Item = (Member, Result<T, E>);

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        todo!()
    }
}

impl<T, E> fmt::Debug for Answers<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}
