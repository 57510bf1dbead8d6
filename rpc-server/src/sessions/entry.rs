//! `Entry`: a connection among those of a server, from its upgrade to its end.

use std::{future::pending, mem, net::SocketAddr, sync::Arc, time::Duration};

use rpc_core::{ConnectionError, Session};
use tokio::time::{sleep, sleep_until};

use super::{
    ServerSessions,
    state::{Entered, Phase},
    wake,
};
use crate::caps::Place;

/// The time for goodbyes where a server ends at once.
const GOODBYES: Duration = Duration::from_secs(1);

/// A connection that becomes one of the [`Sessions`](super::Sessions), or is served beside them. It leaves when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) shared: Arc<ServerSessions>,
    pub(super) number: u64,
    /// The place under the caps, until there is a session to which it goes over.
    pub(super) place: Option<Arc<Place>>,
}

/// What a connection is that has no session, and the address of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It becomes a session.
    Newcomer(Option<SocketAddr>),
    /// It is a WebSocket by hand.
    #[cfg(feature = "raw")]
    Raw(Option<SocketAddr>),
}

impl Kind {
    /// Whether it becomes a session, or its client comes back to one.
    pub(super) fn is_for_session(self) -> bool {
        matches!(self, Self::Newcomer(_))
    }
}

impl Entry {
    pub(super) fn new(shared: Arc<ServerSessions>, number: u64, place: Arc<Place>) -> Self {
        Self { shared, number, place: Some(place) }
    }

    /// Waits until no client is taken, not even one that comes back to its session.
    pub(crate) async fn stopped(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.shared.phase.subscribe().wait_for(|&phase| phase > Phase::Resuming).await;
    }

    /// Waits until a connection that has no session must be over: until a twentieth of a drain is left, or a second
    /// after the server has ended at once.
    pub(crate) async fn overdue(&self) {
        let at_once = async {
            let _ = self.shared.phase.subscribe().wait_for(|&phase| phase == Phase::Closing).await;
            sleep(GOODBYES).await;
        };
        let drained = async {
            let mut drain = self.shared.drain.subscribe();
            let until = drain.wait_for(|drain| drain.until.is_some()).await.ok().and_then(|drain| drain.until);
            let spare = self.shared.drain_timeout.get().map(|&timeout| timeout / 20);
            match until.zip(spare) {
                Some((until, spare)) => sleep_until(until - spare).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = at_once => {}
            () = drained => {}
        }
    }

    /// Says which session the handshake led to. The place under the caps is the session's from here on.
    pub(crate) fn begun(&mut self, session: &Session) {
        let phase = {
            let mut state = self.shared.lock();
            if let Some(place) = self.place.take() {
                state.begun(self.number, session, place);
            }
            state.phase
        };
        // The Hello came too late for its session to be told with the others when the phase began.
        match phase {
            Phase::Open => {}
            Phase::Resuming | Phase::Draining => drop(session.drain()),
            Phase::Closing => drop(session.abort()),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let entered = state.left(self.number);
        // The hooks have recorded the end, unless the session's task was dropped.
        let lost = || ConnectionError::Lost("the session's task was dropped".to_owned());
        let session = entered.as_ref().and_then(Entered::session).map(Session::id);
        let (mut wakers, record) = session.map(|session| state.closed(session, lost())).unwrap_or_default();
        let lists = record.is_some().then(|| mem::take(&mut state.lists));
        wakers.extend(state.wakers());
        let (phase, is_over) = (state.next_phase(), state.is_over());
        drop(state);
        if let Some(session) = session {
            self.shared.groups.ended(session, &lost());
        }
        if is_over {
            self.shared.groups.end();
        }
        if let Some(phase) = phase {
            self.shared.go_on_to(phase);
        }
        self.shared.announce();
        wake(wakers);
        if record.is_some() {
            self.shared.sum_up();
        }
        drop((record, lists, entered));
    }
}
