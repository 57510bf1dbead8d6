//! `SessionHooks`: code that runs when a session opens and when it has ended.

use async_trait::async_trait;

use crate::{error::ConnectionError, peer::Session, status::Status};

/// Code that runs when a session opens and when it has ended, at either end. Given to a server's or client's builder
/// with `hooks`, or to [`crate::HostingBuilder::hooks`].
///
/// Of several hooks, `opened` runs in the order in which they were added, and `closed` in the opposite order. The trait
/// is written with [`rpc_core::async_trait`](crate::async_trait):
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
#[async_trait]
pub trait SessionHooks: Send + Sync + 'static {
    /// A session is about to open: at a server after the client's Hello, before the client is taken in; at a client
    /// after the server has taken it in. Nothing is served before this has returned; objects that are made one a
    /// session are made after it.
    ///
    /// An error refuses the session. The other side is told: to a client it is what `connect` fails with, to a server
    /// it is the reason of the close. All of this, the making of objects included, may take
    /// [`crate::Config::hook_timeout`], at a server also no longer than [`crate::Config::hello_timeout`]; the future is
    /// dropped when the time is over or the link is lost.
    ///
    /// Calls to the other side cannot be awaited here, as it takes none before the session is open: they fail at once.
    /// Spawn them.
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        let _ = session;
        Ok(())
    }

    /// A session has ended that this hook's own `opened` had let in, also where a later hook or the making of objects
    /// refused it. Its handlers have been told to stop (`no_cancel` methods run on) and its objects dropped.
    ///
    /// It has [`crate::Config::hook_timeout`]; then its future is dropped. A server's shutdown waits for it as long as
    /// [`crate::Config::drain_timeout`] allows, of which a twentieth is left for hooks at least. Beyond that it runs on
    /// in the background, as long as the program does.
    async fn closed(&self, session: &Session, reason: &ConnectionError) {
        let _ = (session, reason);
    }
}
