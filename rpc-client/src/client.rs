//! `Client`: a session that hands out stubs of any contract.

use rpc_core::{Closing, ConnectionError, Peer, Session, SessionState, Stub};

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
    session: Session,
    /// This peer keeps the session open, as all stubs made of it do.
    peer: Peer,
}

impl Client {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { session: peer.session(), peer }
    }

    /// A stub of one of the server's contracts. This sends nothing. If the server does not host the contract, or
    /// does not offer it because its callback contract is not hosted here, the stub's calls fail with `UNIMPLEMENTED`,
    /// and the message says which of both it is; [`Session::hosts`] and [`Session::missing_callback`] tell it before.
    pub fn client<S: Stub>(&self) -> S {
        S::from_peer(self.peer.clone())
    }

    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The stage of the session.
    pub fn state(&self) -> SessionState {
        self.session.state()
    }

    /// Waits until the session has ended, and returns the reason. Dropping the future stops the waiting and nothing
    /// else.
    pub async fn closed(&self) -> ConnectionError {
        self.session.closed().await
    }

    /// Ends the session now. Calls under way fail with `UNAVAILABLE`.
    ///
    /// This acts at once, whether or not the returned future is awaited. A program that is about to end awaits the
    /// future (`client.close().await`). Otherwise the goodbye may not have been written, and the server sees a lost
    /// link.
    pub fn close(&self) -> Closing {
        self.session.close()
    }
}
