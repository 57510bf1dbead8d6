//! `Answers`: a call to many sessions, and their answers as they come.

use std::{
    fmt,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{
    Stream, StreamExt,
    future::BoxFuture,
    stream::{FusedStream, FuturesUnordered},
};

use super::{Audience, Member};

/// How many members are asked at once, unless [`Answers::fanout`] says otherwise.
const FANOUT: usize = 1000;

/// The call of one member.
pub(super) type Asked<T, E> = BoxFuture<'static, (Member, Result<T, E>)>;

/// The answers of many sessions, as they come: a stream of members, each with its result.
///
/// Those who are members when this is polled for the first time are asked, up to [`fanout`](Self::fanout) of them at
/// once, and the next as answers come. A member whose session ends, who has no room or does not answer in time answers
/// with an error, so every member comes once. A program that shows who has not answered yet lists the members first,
/// and then calls only these (`group.only(ids)`). Dropping this cancels the calls that are under way, and asks no
/// further member.
#[must_use = "the calls go out when the answers are asked for"]
pub struct Answers<T, E> {
    audience: Audience,
    /// Those who have yet to be asked, in reverse; `None` before the first poll.
    left: Option<Vec<Member>>,
    under_way: FuturesUnordered<Asked<T, E>>,
    fanout: usize,
    ask: Box<dyn Fn(Member) -> Asked<T, E> + Send + Sync>,
}

impl<T, E> Answers<T, E> {
    pub(super) fn new(audience: Audience, ask: impl Fn(Member) -> Asked<T, E> + Send + Sync + 'static) -> Self {
        let (left, under_way) = (None, FuturesUnordered::new());
        Self { audience, left, under_way, fanout: FANOUT, ask: Box::new(ask) }
    }

    /// How many members are asked at once. Default 1,000.
    pub fn fanout(mut self, members: NonZeroUsize) -> Self {
        self.fanout = members.get();
        self
    }

    /// The first answer that is no error, with its member; `None` if there is none. The other calls are cancelled, and
    /// members who have not been asked by then are not asked. Dropping the future cancels all calls.
    pub async fn first_ok(mut self) -> Option<(Member, T)> {
        while let Some((member, answer)) = self.next().await {
            if let Ok(value) = answer {
                return Some((member, value));
            }
        }
        None
    }

    /// All answers, in the order in which they came. Dropping the future cancels the calls that are under way.
    pub async fn collect(mut self) -> Vec<(Member, Result<T, E>)> {
        let mut all = Vec::new();
        while let Some(answer) = self.next().await {
            all.push(answer);
        }
        all
    }
}

impl<T, E> Unpin for Answers<T, E> {}

impl<T, E> Stream for Answers<T, E> {
    type Item = (Member, Result<T, E>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { audience, left, under_way, fanout, ask } = self.get_mut();
        let left = left.get_or_insert_with(|| {
            let mut members: Vec<_> = audience.select().iter().cloned().collect();
            members.reverse();
            members
        });
        while under_way.len() < *fanout {
            let Some(member) = left.pop() else { break };
            under_way.push(ask(member));
        }
        if under_way.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(ready!(under_way.poll_next_unpin(cx)))
    }
}

impl<T, E> FusedStream for Answers<T, E> {
    fn is_terminated(&self) -> bool {
        self.under_way.is_empty() && self.left.as_ref().is_some_and(Vec::is_empty)
    }
}

impl<T, E> fmt::Debug for Answers<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("under_way", &self.under_way.len()).finish_non_exhaustive()
    }
}
