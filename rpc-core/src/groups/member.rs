//! `Member`: a session in a group, with the note it joined with.

use std::{any::Any, fmt, sync::Arc};

use crate::peer::{Principal, Session, SessionId, SessionState};

/// A session in a group. Cheap to clone; it does not keep the session open.
#[derive(Clone)]
pub struct Member {
    session: Session,
    note: Option<Arc<dyn Any + Send + Sync>>,
}

impl Member {
    /// A member, with the note that it joined with.
    #[doc(hidden)]
    pub fn __new(session: Session, note: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        Self { session, note }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The id of the session.
    pub fn id(&self) -> SessionId {
        self.session.id()
    }

    /// The party at the other end; `None` if it is not known.
    pub fn principal(&self) -> Option<Principal> {
        self.session.principal()
    }

    /// Whether the session has no link now, and waits for another one. The presence of a group tells of it only after
    /// two seconds.
    pub fn is_detached(&self) -> bool {
        self.session.state() == SessionState::Detached
    }

    /// The note that the member joined with; `None` if it joined without one, or if its note has another type.
    pub fn note<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.note.clone().and_then(|note| note.downcast().ok())
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("session", &self.id()).finish_non_exhaustive()
    }
}
