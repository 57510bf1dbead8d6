//! `LeavingHooks`: hooks of the application, of whose session's end the groups hear first.

use std::sync::Arc;

use rpc_core::{ConnectionError, ConnectionInfo, Resume, Session, SessionHooks, Status, async_trait};

use super::registry::Registry;

/// The hooks that run around these may refuse a session that has joined a group in these already. The hooks of
/// [`Sessions`](crate::Sessions) do not hear of the end of such a session.
pub(super) struct LeavingHooks<H> {
    hooks: H,
    registry: Arc<Registry>,
}

impl<H> LeavingHooks<H> {
    pub(super) fn new(hooks: H, registry: Arc<Registry>) -> Self {
        Self { hooks, registry }
    }
}

#[async_trait]
impl<H: SessionHooks> SessionHooks for LeavingHooks<H> {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        self.hooks.opened(session).await
    }

    async fn resuming(&self, session: &Session, info: &ConnectionInfo) -> Result<Resume, Status> {
        self.hooks.resuming(session, info).await
    }

    async fn closed(&self, session: &Session, reason: &ConnectionError) {
        self.registry.ended(session.id(), reason);
        self.hooks.closed(session, reason).await;
    }
}
