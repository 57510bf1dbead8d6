//! `Client`: a handle that gives stubs of any contract, and what makes the sessions behind it.

mod reconnect;
mod relink;
mod session_maker;
mod setup;
mod state;

use std::sync::Arc;

use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use rpc_core::{Closing, ConnectionError, Peer, Session, Stub};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use self::session_maker::Shared;
pub use self::{
    reconnect::Reconnect,
    setup::SetupError,
    state::{ClientError, ClientEvent, ClientState},
};
pub(crate) use self::{session_maker::SessionMaker, setup::Setup};

/// A session with a server, for programs that use several contracts of the server. [`connect`](crate::connect) returns
/// it.
///
/// A client is cheap to clone. The session lives until [`close`](Self::close), or until the last clone and the last
/// stub that came from it have been dropped. A program awaits `close` before it ends: if it does not, what it
/// has sent last goes out only as far as the socket takes it at once.
///
/// ```
/// use rpc_client::connect;
/// # #[rpc_client::service]
/// # trait Clock {
/// #     async fn hour(&self) -> u8;
/// # }
/// # struct Tower;
/// # impl Clock for Tower {
/// #     async fn hour(&self) -> u8 {
/// #         12
/// #     }
/// # }
/// # #[rpc_client::service]
/// # trait Calendar {
/// #     async fn day(&self) -> u8;
/// # }
/// # impl Calendar for Tower {
/// #     async fn day(&self) -> u8 {
/// #         24
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = rpc_server::Server::builder();
/// # let server = server.service(Clock::serve(Tower)).service(Calendar::serve(Tower)).listen("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr());
/// let client = connect(url).await?;
/// let (clock, calendar) = (client.client::<ClockClient>(), client.client::<CalendarClient>());
/// assert_eq!((clock.hour().await?, calendar.day().await?), (12, 24));
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    /// This peer keeps the session open, as all stubs made of it do.
    peer: Peer,
    /// What makes the sessions; `None` for a client that has one session.
    shared: Option<Arc<Shared>>,
}

impl Client {
    /// A client that has this session alone.
    pub(crate) fn of_session(peer: Peer) -> Self {
        Self { peer, shared: None }
    }

    /// A client that has one session after another.
    pub(crate) fn of_sessions(shared: Arc<Shared>) -> Self {
        Self { peer: shared.sessions.peer(shared.clone()), shared: Some(shared) }
    }

    /// The client behind a stub that came from `connect`, for its state and its events. `None` for a stub of something
    /// else, such as a context. The client keeps its sessions going as the stub does, and its stubs have the stub's
    /// options.
    pub fn of<S: Stub>(stub: &S) -> Option<Self> {
        let peer = stub.as_peer();
        let shared = peer.__companion().and_then(|companion| companion.downcast().ok());
        (shared.is_some() || peer.__keeps_open()).then(|| Self { peer: peer.clone(), shared })
    }

    /// A stub of one of the server's contracts. This sends nothing. If the server does not host the contract, or
    /// does not offer it because its callback contract is not hosted here, the stub's calls fail with `UNIMPLEMENTED`,
    /// and the message says which of both it is; [`Session::hosts`] and [`Session::missing_callback`] tell it before.
    pub fn client<S: Stub>(&self) -> S {
        S::from_peer(self.peer.clone())
    }

    /// The session of the moment, or the last one while there is none. If the program ends this session, the client is
    /// closed.
    pub fn session(&self) -> Session {
        self.peer.session()
    }

    /// The state of the client now.
    pub fn state(&self) -> ClientState {
        match &self.shared {
            Some(shared) => shared.state.borrow().clone(),
            None => match self.session().closed().now_or_never() {
                Some(error) => ClientState::Closed(error.into()),
                None => ClientState::Connected,
            },
        }
    }

    /// The states of the client: the present one, and then each later one, but not those that a slow reader has missed.
    /// The last is [`ClientState::Closed`]. Dropping the stream changes nothing.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use rpc_client::{Client, ClientState};
    ///
    /// async fn show(client: &Client) {
    ///     let mut states = client.states();
    ///     while let Some(state) = states.next().await {
    ///         match state {
    ///             ClientState::Connected => println!("connected"),
    ///             ClientState::Reconnecting { error, next_in: Some(wait), .. } => println!("{error}; again in {wait:?}"),
    ///             ClientState::Closed(error) => println!("closed: {error}"),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// ```
    pub fn states(&self) -> BoxStream<'static, ClientState> {
        let Some(shared) = &self.shared else {
            let session = self.session();
            let end = async move { ClientState::Closed(session.closed().await.into()) };
            let now = self.state().is_connected().then_some(ClientState::Connected);
            return stream::iter(now).chain(stream::once(end)).boxed();
        };
        let mut states = shared.state.subscribe();
        states.mark_changed();
        let next = async |states: Option<watch::Receiver<ClientState>>| {
            let mut states = states?;
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            let is_last = state.closed().is_some();
            Some((state, (!is_last).then_some(states)))
        };
        stream::unfold(Some(states), next).boxed()
    }

    /// What happens to the client from now on. A reader that is more than 64 events behind gets
    /// [`ClientEvent::Lagged`] in place of the oldest. The last is [`ClientEvent::Closed`]. A client with
    /// [`Reconnect::never`](crate::Reconnect::never) has no events. Dropping the stream changes nothing.
    pub fn events(&self) -> BoxStream<'static, ClientEvent> {
        let Some(shared) = &self.shared else { return stream::empty().boxed() };
        let next = async |events: Option<broadcast::Receiver<ClientEvent>>| {
            let mut events = events?;
            match events.recv().await {
                Ok(last @ ClientEvent::Closed(_)) => Some((last, None)),
                Ok(event) => Some((event, Some(events))),
                Err(RecvError::Lagged(missed)) => Some((ClientEvent::Lagged(missed), Some(events))),
                Err(RecvError::Closed) => None,
            }
        };
        stream::unfold(Some(shared.events.subscribe()), next).boxed()
    }

    /// Begins the next attempt at once, if the client waits for it: the network is back, or a person asks for it.
    pub fn reconnect_now(&self) {
        if let Some(shared) = &self.shared {
            shared.now.notify_waiters();
        }
    }

    /// Waits until the client is closed, and returns the reason. A client that connects again is not closed when its
    /// session is lost. Dropping the future stops the waiting and nothing else.
    pub async fn closed(&self) -> ClientError {
        let Some(shared) = &self.shared else { return self.session().closed().await.into() };
        let mut states = shared.state.subscribe();
        // The sender lives in `shared`, so the wait cannot fail.
        let closed = states.wait_for(|state| state.closed().is_some()).await;
        let closed = closed.ok().and_then(|state| state.closed().cloned());
        closed.unwrap_or_else(|| ConnectionError::ClosedLocally.into())
    }

    /// Ends the session now, and makes no other one. Calls under way fail with `UNAVAILABLE`.
    ///
    /// This acts at once, whether or not the returned future is awaited. A program that is about to end awaits the
    /// future (`client.close().await`). Otherwise the goodbye may not have been written, and the server sees a lost
    /// link. While the session has no link, the client goes on asking for one for the goodbye, for up to ten seconds.
    pub fn close(&self) -> Closing {
        if let Some(shared) = &self.shared {
            shared.sessions.end("the program has closed it");
        }
        self.session().close()
    }
}
