//! `Groups`: the named groups of a server's sessions, which are called together.

mod error;
mod group;
mod hooks;
mod name;
mod presence;
mod registry;
mod room;
#[cfg(test)]
mod tests;
mod watched;

use std::{fmt, sync::Arc};

use rpc_core::{ConnectionError, GroupStub, Session, SessionHooks, SessionId};

pub use self::{
    error::JoinError,
    group::Group,
    name::{GroupName, SessionGroups},
    presence::{LeaveReason, Presence, PresenceChange},
};
use self::{hooks::LeavingHooks, registry::Registry};

/// The groups of a server's sessions. Cheap to clone; all clones show the same groups. Any task may use them at any
/// time, handlers and hooks included.
///
/// A group has a name and a callback contract. It needs not be made: it is there when it is named, and costs nothing
/// while no session is in it. A session that has joined a group stays in it while it has no link, until it leaves or
/// ends; it has left all groups before any `closed` hook hears of its end. A session that is closed while it has no
/// link ends 10 s later, unless its client comes back before and hears of it: let it leave, if it is to be gone at
/// once.
///
/// ```
/// use rpc_server::{Context, Groups, Server, Status};
///
/// #[rpc_server::callback(group)]
/// trait ChatEvents {
///     #[rpc(oneway)]
///     async fn posted(&self, text: &str);
/// }
///
/// #[rpc_server::service(callback = ChatEvents)]
/// trait Chat {
///     async fn enter(&self, cx: &Context<ChatEventsClient>, room: &str) -> Result<(), Status>;
///     async fn post(&self, cx: &Context<ChatEventsClient>, room: &str, text: &str) -> Result<(), Status>;
/// }
///
/// struct House {
///     groups: Groups,
/// }
///
/// impl Chat for House {
///     async fn enter(&self, cx: &Context<ChatEventsClient>, room: &str) -> Result<(), Status> {
///         self.groups.get::<ChatEventsClient>(room).join(&cx.session())?;
///         Ok(())
///     }
///
///     async fn post(&self, cx: &Context<ChatEventsClient>, room: &str, text: &str) -> Result<(), Status> {
///         self.groups.get::<ChatEventsClient>(room).others(cx).posted(text).await?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Server::builder();
/// let house = House { groups: builder.groups() };
/// let server = builder.service(house.serve()).listen("127.0.0.1:0").await?;
/// assert!(server.groups().get::<ChatEventsClient>("lobby").is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Groups {
    registry: Arc<Registry>,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self { registry: Arc::default() }
    }

    /// The group of this name whose members host the contract of `S`. Groups of other contracts may have the same name.
    pub fn get<S: GroupStub>(&self, name: impl Into<Arc<str>>) -> Group<S> {
        Group::new(Arc::clone(&self.registry), GroupName::new(S::CONTRACT.name(), name.into()))
    }

    /// The names of the groups that a session is in, in alphabetical order; none after the session's end.
    pub fn of(&self, session: &Session) -> Vec<GroupName> {
        self.registry.of(session.id())
    }

    /// One session may be in this many groups.
    pub(crate) fn set_most(&self, most: usize) {
        self.registry.set_most(most);
    }

    /// Hooks of the application, of whose end the groups hear first.
    pub(crate) fn before<H: SessionHooks>(&self, hooks: H) -> impl SessionHooks + use<H> {
        LeavingHooks::new(hooks, Arc::clone(&self.registry))
    }

    /// A session has ended: it leaves all groups. Its state says so by now.
    pub(crate) fn ended(&self, session: SessionId, reason: &ConnectionError) {
        self.registry.ended(session, reason);
    }

    /// A session may have lost its link, or have one again.
    pub(crate) fn link_changed(&self, session: &Session) {
        self.registry.link_changed(session.id(), || session.is_detached());
    }

    /// The server has ended: there is no session, and will be none.
    pub(crate) fn end(&self) {
        self.registry.end();
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("groups", &self.registry.len()).finish_non_exhaustive()
    }
}
