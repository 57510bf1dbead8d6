//! How sessions begin to drain, alone and together.

use std::{sync::Arc, time::Instant};

use tokio::task::yield_now;

use super::{clock::now, life::Life, session::Session, shared::SessionShared};
use crate::proto::Connection;

/// What a drain tells the other side.
const WHY: &str = "the other side is shutting down";

impl Session {
    /// Begins a drain, and asks the other side to come back after its part of the time that the configuration sets.
    pub(super) fn begin_drain(&self, drain: impl FnOnce(&mut Connection, Instant, &str)) {
        let spread = self.shared().config.reconnect_spread();
        self.shared().act(|connection| {
            connection.ask_back_in(spread.mul_f64(rand::random()));
            drain(connection, now(), WHY);
        });
    }
}

/// Drains sessions which the same program serves. None of them ends before all calls that they serve have ended, or
/// the grace of its drain is over, because a handler may need another session.
///
/// The sessions wait for each other in a task of the runtime of one of them. If they have no runtime, they do not wait.
pub fn drain_together(sessions: &[Session]) {
    let Some(runtime) = sessions.iter().find_map(|session| session.shared().facts.runtime.clone()) else {
        return sessions.iter().for_each(|session| session.begin_drain(Connection::drain));
    };
    sessions.iter().for_each(|session| session.begin_drain(Connection::drain_held));
    let sessions: Vec<_> = sessions.iter().map(|session| session.shared().clone()).collect();
    runtime.spawn(async move {
        // If the runtime ends meanwhile, so do the sessions.
        while !all_rest(&sessions).await {
            yield_now().await;
        }
        for shared in &sessions {
            shared.act(Connection::release);
        }
    });
}

/// Waits until each session has served nothing for a moment, and says whether they all served nothing at one moment.
async fn all_rest(sessions: &[Arc<SessionShared>]) -> bool {
    let mut taken_in = Vec::with_capacity(sessions.len());
    for shared in sessions {
        shared.reach(|life| matches!(life, Life::Draining { serving: false } | Life::Closing(_) | Life::Over(_))).await;
        taken_in.push(at_rest(shared));
    }
    // A session that serves nothing now, and has taken no call in since it was looked at, has served nothing in
    // between.
    taken_in.iter().all(Option::is_some) && sessions.iter().map(|shared| at_rest(shared)).eq(taken_in)
}

/// The number of calls that a session has taken in, if it serves none of them any more.
fn at_rest(shared: &SessionShared) -> Option<u64> {
    shared.look(|connection| {
        let is_over = connection.ended().is_some();
        (is_over || !connection.is_serving()).then(|| connection.calls_taken_in())
    })
}
