//! `Stub`: the trait of all generated clients.

use super::{Peer, Session};
use crate::contract::ContractDescriptor;

/// A generated client of a contract, for instance `ChatClient` of `Chat`.
///
/// A stub is cheap to clone, and any task may use it at any time. A stub that came from `connect` keeps its session
/// open; a stub from [`crate::Context::peer`] does not. A client's program ends with `chat.session().close().await`:
/// if `main` returns without it, what was sent last goes out as far as the socket takes it at once, and the rest,
/// one-way calls included, is lost without an error.
///
/// ```
/// use rpc_core::{Hosting, Session, Stub, session::connect_in_memory};
/// # #[rpc_core::service]
/// # trait Clock {
/// #     async fn hour(&self) -> u8;
/// # }
/// # struct Tower;
/// # impl Clock for Tower {
/// #     async fn hour(&self) -> u8 {
/// #         12
/// #     }
/// # }
///
/// /// A stub, if the other side hosts its contract.
/// fn find<S: Stub>(session: &Session) -> Option<S> {
///     session.hosts(S::CONTRACT.name()).then(|| session.client())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Hosting::builder().service(Tower.serve()).build()?;
/// # let (_server, session) = connect_in_memory(&server, &Hosting::default());
/// # session.established().await?;
/// let clock: ClockClient = find(&session).ok_or("the other side has no clock")?;
/// assert_eq!(clock.hour().await?, 12);
/// clock.session().close().await;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a generated client",
    note = "name the client of the contract here: `ChatClient` for the trait `Chat`, made by `#[service]` or `#[callback]`"
)]
pub trait Stub: Clone + Send + Sync + 'static {
    /// The contract.
    const CONTRACT: &'static ContractDescriptor;

    /// A client of this contract at that peer.
    fn from_peer(peer: Peer) -> Self;

    /// The peer that is called.
    fn as_peer(&self) -> &Peer;

    /// The session behind this stub. The returned handle does not keep the session open.
    fn session(&self) -> Session {
        self.as_peer().session()
    }
}

/// What a handler's context calls back: a client, or an `Option` of a client where the other side need not host the
/// contract.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a generated client",
    note = "name the client of the contract here: `ChatClient` for the trait `Chat`, made by `#[service]` or `#[callback]`"
)]
pub trait ContextPeer: Sized {
    /// What calls this peer back.
    fn of(peer: Peer) -> Self;
}

impl<S: Stub> ContextPeer for S {
    fn of(peer: Peer) -> Self {
        S::from_peer(peer)
    }
}

impl<S: Stub> ContextPeer for Option<S> {
    /// `None` if the other side does not host the contract.
    fn of(peer: Peer) -> Self {
        peer.session().hosts(S::CONTRACT.name()).then(|| S::from_peer(peer))
    }
}

/// Implemented by a service's client for what the contexts of its handlers may have: the client of the callback
/// contract, in an `Option` if clients need not host that contract, and the service's own client for handlers that make
/// no callbacks. `Expected` is the first of these that there is.
#[diagnostic::on_unimplemented(
    message = "this contract's handlers cannot have `&Context<{Client}>`",
    label = "write `&Context<{Expected}>`, or change `callback` of the contract",
    note = "`callback` says what a context calls: `#[service(callback = Screen)]` for `&Context<ScreenClient>`; clients that do not host `Screen` are not offered the service then",
    note = "`#[service(callback = Screen, optional)]` for `&Context<Option<ScreenClient>>`; every client is offered the service then",
    note = "a handler that makes no callbacks has the client of its own contract in its context, here `{Self}`"
)]
pub trait CallsBack<Client, Expected> {}

impl Session {
    /// A client of a contract that the other side hosts. It does not keep the session open. After the session's end,
    /// its calls fail with [`crate::Code::Unavailable`].
    pub fn client<S: Stub>(&self) -> S {
        S::from_peer(self.peer())
    }
}
