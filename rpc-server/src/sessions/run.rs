//! Running a session of a server, from its beginning to its end.

use std::future::poll_fn;

use futures::FutureExt;
use rpc_core::{MemoryPool, Session};

use super::{Entry, Sessions, forgetting::Asked};

impl Sessions {
    /// Runs a session, and follows its links. If the session takes what all sessions hold beyond the bound of the pool,
    /// the heaviest one is closed, which may be another. In the same way sessions forget what they keep to be resumed,
    /// if all of them keep more than the bound of the second pool, each in its own task.
    pub(crate) async fn run(
        &self,
        session: &Session,
        mut driver: impl Future<Output = ()> + Unpin,
        entry: &Entry,
        pools: [&MemoryPool; 2],
    ) {
        let [pool, replay] = pools;
        let mut followed = 0;
        let asked = Asked::new(&self.shared, session);
        poll_fn(|cx| {
            let polled = driver.poll_unpin(cx);
            // After the driver has begun its poll: a session that is asked later wakes the driver again.
            asked.forget();
            // A link may have come and gone again within one poll.
            let changes = session.link_changes();
            if changes != followed {
                followed = changes;
                entry.follow(session);
            }
            if pool.is_beyond() {
                self.relieve(pool);
            }
            if self.is_full(replay) {
                self.choose_forgetful(replay);
            }
            polled
        })
        .await;
    }
}
