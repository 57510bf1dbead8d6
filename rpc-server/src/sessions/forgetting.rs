//! What sessions keep to be resumed is a cache: when all of them together keep too much, some forget it.

use std::{cmp::Reverse, time::Duration};

use rpc_core::{__server::Kept, MemoryPool, Session, logging::LogLimit};
use tokio::time::Instant;
use tracing::warn;

use super::Sessions;

/// Whether all sessions together keep more than they may.
pub(super) fn is_full(pool: &MemoryPool) -> bool {
    pool.held() > pool.limit()
}

/// A session that keeps something.
#[derive(Debug)]
struct Keeper {
    session: Session,
    kept: Kept,
    has_principal: bool,
}

impl Keeper {
    fn new(session: Session) -> Option<Self> {
        let kept = session.kept();
        let has_principal = kept.attached_for.is_some() && session.principal().is_some();
        (kept.bytes > 0).then_some(Self { session, kept, has_principal })
    }

    fn rank(&self) -> Rank {
        rank(self.kept, self.has_principal)
    }
}

type Rank = (Reverse<u32>, Option<(bool, Duration)>);

/// Who forgets first: those that keep most. Of those that keep about as much, which is less than twice as much, first
/// those that have a link, because all that they may lose is that they can be resumed; then those whose clients have
/// shown no identity; and then those that have had a link for the shortest time.
fn rank(kept: Kept, has_principal: bool) -> Rank {
    (Reverse(kept.bytes.checked_ilog2().unwrap_or(0)), kept.attached_for.map(|time| (has_principal, time)))
}

impl Sessions {
    /// Lets sessions forget what they keep until an eighth of the bound is free.
    ///
    /// This looks at every session. No peer can cause it often: each time frees memory that took many packets to fill.
    pub(super) fn forget(&self, pool: &MemoryPool) {
        while is_full(pool) {
            let Some(_alone) = self.alone() else { return };
            let sessions: Vec<_> = self.shared.lock().live().cloned().collect();
            let mut keepers: Vec<_> = sessions.into_iter().filter_map(Keeper::new).collect();
            keepers.sort_by_cached_key(Keeper::rank);
            let (mut with_link, mut without, held) = (0_usize, 0_usize, pool.held());
            for Keeper { session, kept, .. } in keepers {
                if pool.held() <= pool.limit() - pool.limit() / 8 {
                    break;
                }
                session.forget();
                *if kept.attached_for.is_none() { &mut with_link } else { &mut without } += 1;
            }
            report(with_link, without, pool.limit());
            // What is held may be on its way to be freed in another thread. The next session to be polled looks again.
            if pool.held() >= held {
                return;
            }
        }
    }
}

fn report(with_link: usize, without: usize, max: usize) {
    static FORGOTTEN: LogLimit = LogLimit::new();
    if let Some(more) = FORGOTTEN.admit(Instant::now().into_std()) {
        warn!(
            with_link,
            ended = without,
            "sessions have forgotten what they keep to be resumed, and those without a link have ended: all together \
             keep more than {max} bytes (ServerBuilder::replay_total){more}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_keep_most_are_the_first_and_then_those_that_lose_least() {
        let second = Duration::from_secs(1);
        let kept = |bytes, attached_for| Kept { bytes, attached_for };
        // In the order in which they forget.
        let order = [
            (kept(9000, Some(60 * second)), true),
            (kept(4100, None), false),
            (kept(8000, Some(second)), false),
            (kept(7000, Some(60 * second)), false),
            (kept(8000, Some(second)), true),
            (kept(4096, Some(60 * second)), true),
            (kept(4095, None), false),
            (kept(1, Some(second)), false),
        ];
        let ranks: Vec<_> = order.iter().map(|(kept, has_principal)| rank(*kept, *has_principal)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
    }
}
