//! Hooks before the first call of a session and after its end, and the objects that are made for the session.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use tokio::time::timeout;

use crate::{
    error::ConnectionError,
    logging::LogLimit,
    panics::{Caught, Panicked},
    peer::{Session, SessionId, SessionShared, enter_opening, now},
    proto::EarlyPackets,
    service::{Hosting, Instance},
    status::Status,
};

/// Hooks and objects of a session that is about to open.
#[derive(Debug)]
pub(super) struct Opening {
    session: SessionId,
    /// At a server: what the client sends while the session opens.
    early: Option<EarlyPackets>,
    future: Caught<'static, Result<Vec<Option<Instance>>, Status>>,
}

/// Each session may cause such a log line, so the lines are limited.
static PANICKED: LogLimit = LogLimit::new();

impl Opening {
    pub(super) fn new(hosting: Hosting, shared: Arc<SessionShared>, early: Option<EarlyPackets>) -> Self {
        let (id, limit, is_server) = (shared.id, shared.config.hook_timeout(), early.is_some());
        let open = async move {
            let session = Session::new(shared);
            let open = async {
                for hooks in hosting.hooks() {
                    hooks.opened(&session).await?;
                    session.shared().hooks_opened.fetch_add(1, Ordering::Relaxed);
                }
                hosting.open(&session, is_server).await
            };
            timeout(limit, open).await.unwrap_or_else(|_| {
                warn_of_slowness(id, limit, "Config::hook_timeout");
                Err(Status::deadline_exceeded(format!(
                    "the session's `opened` hooks and objects took longer than {limit:?} (Config::hook_timeout)"
                )))
            })
        };
        Self { session: id, early, future: Caught::new("an `opened` hook or factory", || open.boxed()) }
    }

    /// Tells this side's operator that the hooks and factories took longer than `limit`, which is set by `setting`.
    pub(super) fn warn_of_slowness(&self, limit: Duration, setting: &str) {
        warn_of_slowness(self.session, limit, setting);
    }

    /// At a server: where packets go while the client may still be refused.
    pub(super) fn early(&mut self) -> Option<&mut EarlyPackets> {
        self.early.as_mut()
    }

    /// The packets that have come while the session opened.
    pub(super) fn into_early(self) -> Option<EarlyPackets> {
        self.early
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Option<Instance>>, Status>> {
        let session = self.session;
        enter_opening(session.number(), || self.future.poll_unpin(cx)).map(|opened| {
            opened.unwrap_or_else(|Panicked| {
                if let Some(more) = PANICKED.admit(now()) {
                    tracing::error!(%session, "a hook or factory panicked while a session was opened{more}");
                }
                Err(Status::internal("a hook or factory of the other side panicked; its log says more"))
            })
        })
    }
}

fn warn_of_slowness(session: SessionId, limit: Duration, setting: &str) {
    static SLOW: LogLimit = LogLimit::new();
    if let Some(more) = SLOW.admit(now()) {
        tracing::warn!(
            %session,
            "the `opened` hooks and the objects of a session took longer than {limit:?} ({setting} of this side), and \
             the session was given up: make them faster, or raise it{more}"
        );
    }
}

/// Runs the `closed` hooks whose `opened` hooks have succeeded, the last one first.
pub(super) async fn closed_hooks(hosting: Hosting, shared: Arc<SessionShared>, opened: usize, reason: ConnectionError) {
    let limit = shared.config.hook_timeout();
    let session = Session::new(shared);
    for hooks in hosting.hooks()[..opened].iter().rev() {
        let closed = Caught::new("a `closed` hook", || hooks.closed(&session, &reason));
        match timeout(limit, closed).await {
            Ok(Ok(())) => {}
            Ok(Err(Panicked)) => {
                if let Some(more) = PANICKED.admit(now()) {
                    tracing::error!(session = %session.id(), "a `closed` hook panicked{more}");
                }
            }
            Err(_) => {
                static SLOW: LogLimit = LogLimit::new();
                if let Some(more) = SLOW.admit(now()) {
                    tracing::warn!(
                        session = %session.id(),
                        "a `closed` hook took too long (Config::hook_timeout){more}"
                    );
                }
            }
        }
    }
}
