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

/// Implemented by a service's client for the clients that the contexts of its handlers may have: the client of the
/// callback contract, which every client of the server hosts, and the service's own for handlers without callbacks.
#[diagnostic::on_unimplemented(
    message = "`{Client}` is not the client of this contract's callback contract",
    label = "clients need not host what this calls",
    note = "name the callback contract, which every client must host then: `#[service(callback = Screen)]` for `&Context<ScreenClient>`",
    note = "a handler without callbacks has the client of its own contract in its context, here `{Self}`",
    note = "if some clients host the callback contract and others do not: `cx.session()` has `hosts` and `client`"
)]
pub trait CallsBack<Client> {}

impl Session {
    /// A client of a contract that the other side hosts. It does not keep the session open. After the session's end,
    /// its calls fail with [`crate::Code::Unavailable`].
    pub fn client<S: Stub>(&self) -> S {
        S::from_peer(self.peer())
    }
}
