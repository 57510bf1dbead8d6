//! `SessionHooks`: code that runs when a session opens and when it has ended.

use async_trait::async_trait;

use crate::{
    error::ConnectionError,
    peer::{ConnectionInfo, Session},
    status::Status,
};

/// What a hook says of a client that wants to go on with a session: see [`SessionHooks::resuming`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Other hooks decide, and then the identities.
    #[default]
    NoOpinion,
    /// The client may go on, unless another hook refuses.
    Allow,
}

/// Code that runs when a session opens and when it has ended, at either end. A server's or client's builder takes it
/// with `hooks`, and so does [`crate::HostingBuilder::hooks`].
///
/// The `opened` of several hooks run in the order in which the hooks were added, and their `closed` in the opposite
/// order. Write [`rpc_core::async_trait`](crate::async_trait) on each implementation:
///
/// ```
/// use rpc_core::{ConnectionError, Principal, Session, SessionHooks, Status, async_trait};
///
/// struct Door;
///
/// #[async_trait]
/// impl SessionHooks for Door {
///     async fn opened(&self, session: &Session) -> Result<(), Status> {
///         let info = session.info();
///         let name = info.headers.get("x-user").and_then(|name| name.to_str().ok());
///         let Some(name) = name else { return Err(Status::unauthenticated("say who you are in the header x-user")) };
///         session.set_principal(Principal::new(name));
///         Ok(())
///     }
///
///     async fn closed(&self, session: &Session, reason: &ConnectionError) {
///         println!("session {} ended: {reason}", session.id());
///     }
/// }
/// ```
///
/// The guide says more about [hooks, principals and sessions](crate::guide::sessions).
#[async_trait]
pub trait SessionHooks: Send + Sync + 'static {
    /// A session is about to open. At a server this runs after the client's Hello and before the server accepts the
    /// client; at a client it runs after the server has accepted the client. The session serves no call before this has
    /// returned. The objects of `per_session` are made after all `opened` hooks.
    ///
    /// An error refuses the session, and the other side learns it: a client's `connect` fails with it, and a server
    /// gets it as the reason of the close. All `opened` hooks and the making of objects together may take
    /// [`crate::Config::hook_timeout`], at a server also no longer than [`crate::Config::hello_timeout`]. The future is
    /// dropped when the time is over or the link is lost.
    ///
    /// At a server, do not await calls to the client here: the session is not open, so such a call fails at once. Spawn
    /// the call instead. At a client, a call through this session goes to the server, and a call through a stub of the
    /// client waits for a session until the time is over.
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        let _ = session;
        Ok(())
    }

    /// At a server: a client wants to go on with a session that has lost its link, over a new connection, which `info`
    /// tells of. The server has authenticated the client there: see [`ConnectionInfo::extensions`].
    ///
    /// An error refuses, and the client gets a new session; the old session stays as it is. If no hook
    /// refuses, the client may go on if a hook [allows](Resume::Allow) it, and otherwise if both connections have shown
    /// an identity of the same name, or neither has shown one. An identity from [`Session::set_principal`] was not
    /// shown; a session with one goes on only if a hook allows it. The identity of the new connection, if it has one,
    /// takes the place of the older one.
    ///
    /// All hooks together may take [`crate::Config::hook_timeout`], but no longer than what is left of
    /// [`crate::Config::hello_timeout`], in which the client has said Hello and an authenticator has decided; then they
    /// have refused. The future is dropped when that time is over. The session may end meanwhile. A hook that takes all
    /// of `hello_timeout` leaves no time for the `opened` hooks of the new session, which then fails as well: give
    /// `hook_timeout` a shorter time if a hook may hang.
    async fn resuming(&self, session: &Session, info: &ConnectionInfo) -> Result<Resume, Status> {
        let _ = (session, info);
        Ok(Resume::NoOpinion)
    }

    /// A session has ended that the `opened` of this hook had let in, even if a later hook or the making of objects
    /// refused the session. Its handlers have been told to stop (`no_cancel` methods run on), and its objects are
    /// dropped. The session may still be [closing](crate::SessionState::Closing): the hook does not wait until the
    /// other side has taken in the end.
    ///
    /// The hook may take [`crate::Config::hook_timeout`]; then its future is dropped. A server's shutdown waits for the
    /// hook within [`crate::Config::drain_timeout`], of which at least a twentieth is left for hooks. Beyond that time
    /// the hook runs on in the background, until the program ends.
    async fn closed(&self, session: &Session, reason: &ConnectionError) {
        let _ = (session, reason);
    }
}
