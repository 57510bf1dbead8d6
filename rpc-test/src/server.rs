//! `TestServer`: a server as `ServerBuilder` makes it, whose clients connect in memory.

use std::{
    future::{Ready, ready},
    io,
    sync::Arc,
};

use rpc_client::{Client, Connect, ConnectBuilder, connect};
use rpc_core::{ConnectionInfo, Stub};
use rpc_server::{BuildError, ListenError, Server, ServerBuilder, Sessions};

use crate::network::{Network, NetworkStream};

/// The URL that clients ask for, unless the test sets another one.
const URL: &str = "ws://localhost/";

/// A server as [`ServerBuilder`] makes it, whose clients connect through a [`Network`] in memory.
///
/// All that the builder sets is there: services, hooks, authenticators, roles, interceptors, limits, routes. A client
/// comes with a true HTTP upgrade, so headers and credentials are read as they are behind a socket. No port is taken
/// and no address is looked up; so the tests of a program run side by side, also with a
/// [paused clock](crate#paused-time). Dropping the `TestServer` and what was cloned from it ends the server at once.
///
/// ```
/// use rpc_server::Server;
/// use rpc_test::TestServer;
///
/// #[rpc_server::service]
/// trait Adder {
///     async fn add(&self, a: i64, b: i64) -> i64;
/// }
///
/// struct Calculator;
///
/// impl Adder for Calculator {
///     async fn add(&self, a: i64, b: i64) -> i64 {
///         a + b
///     }
/// }
///
/// // In a test: #[tokio::test]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = TestServer::start(Server::builder().service(Calculator.serve()))?;
/// let adder = server.connect::<AdderClient>().await?;
/// assert_eq!(adder.add(1, 2).await?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping the last handle of a server ends it, as `let _ =` does at once"]
pub struct TestServer {
    server: Arc<Server>,
    network: Network,
    url: String,
}

impl TestServer {
    /// Builds a server, which then waits for [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// The error of [`ServerBuilder::build`]: settings that cannot work, named.
    pub fn start(builder: ServerBuilder) -> Result<Self, BuildError> {
        Ok(Self::of(builder.build()?))
    }

    /// Lets clients connect in memory to a server that the program under test has built.
    pub fn of(server: Server) -> Self {
        Self { server: Arc::new(server), network: Network::new(), url: URL.to_owned() }
    }

    /// Sets the URL that clients ask for, for a server with a [`path`](ServerBuilder::path) or an
    /// [`allow_host`](ServerBuilder::allow_host): `.at("ws://chat.example/rpc")`. Without it, it is `ws://localhost/`.
    pub fn at(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Connects a client that uses one contract. Awaiting the builder gives the stub; before that, it takes all that
    /// a client sets: callbacks, headers, credentials, hooks, a configuration. A client with
    /// [`reconnect`](ConnectBuilder::reconnect) connects again in memory too, with a paused clock in virtual time.
    ///
    /// ```
    /// # use rpc_server::{Context, Server};
    /// # use rpc_test::TestServer;
    /// # #[rpc_server::callback]
    /// # trait Screen {
    /// #     async fn confirm(&self, question: &str) -> bool;
    /// # }
    /// # #[rpc_server::service(callback = Screen)]
    /// # trait Desk {
    /// #     async fn open(&self, cx: &Context<ScreenClient>) -> bool;
    /// # }
    /// # struct Office;
    /// # impl Desk for Office {
    /// #     async fn open(&self, cx: &Context<ScreenClient>) -> bool {
    /// #         cx.headers().contains_key("x-desk") && cx.peer().confirm("really?").await == Ok(true)
    /// #     }
    /// # }
    /// # struct Console;
    /// # impl Screen for Console {
    /// #     async fn confirm(&self, question: &str) -> bool {
    /// #         question == "really?"
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = TestServer::start(Server::builder().service(Office.serve()))?;
    /// let desk = server.connect::<DeskClient>().callback(Console.serve()).header("x-desk", "7").await?;
    /// assert!(desk.open().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn connect<S: Stub>(&self) -> ConnectBuilder<S> {
        S::connect(&self.url).over_with(self.links())
    }

    /// Connects a client that uses several contracts: otherwise as [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn client(&self) -> ConnectBuilder<Client> {
        connect(&self.url).over_with(self.links())
    }

    /// Opens a connection to the server, whose other end the test has: for a client with an address or with TLS, which
    /// `info` says, or for a program that makes its own [`ConnectBuilder`] and takes a stream.
    ///
    /// ```
    /// use rpc_client::Connect;
    /// # use rpc_server::{ConnectionInfo, Server};
    /// # use rpc_test::TestServer;
    /// # #[rpc_server::service]
    /// # trait Clock {
    /// #     async fn hour(&self) -> u8;
    /// # }
    /// # struct Tower;
    /// # impl Clock for Tower {
    /// #     async fn hour(&self) -> u8 {
    /// #         12
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = TestServer::start(Server::builder().service(Tower.serve()).max_connections_per_address(1))?;
    /// let info = ConnectionInfo::default().with_peer_addr("192.0.2.7:4000".parse()?);
    /// let clock = ClockClient::connect("ws://localhost/").over(server.stream(info.clone())?).await?;
    /// assert_eq!(clock.hour().await?, 12);
    ///
    /// let second = ClockClient::connect("ws://localhost/").over(server.stream(info)?).await;
    /// assert!(second.is_err(), "the address has its one connection");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ListenError::ShutDown`] if the server has been shut down.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn stream(&self, info: ConnectionInfo) -> Result<NetworkStream, ListenError> {
        let (near, far) = self.network.pair();
        self.server.serve_stream(far, info)?;
        Ok(near)
    }

    /// The network between the server and its clients: cut it, or hold it still.
    ///
    /// ```
    /// use rpc_core::Stub;
    /// # use rpc_server::Server;
    /// # use rpc_test::TestServer;
    /// # #[rpc_server::service]
    /// # trait Clock {
    /// #     async fn hour(&self) -> u8;
    /// # }
    /// # struct Tower;
    /// # impl Clock for Tower {
    /// #     async fn hour(&self) -> u8 {
    /// #         12
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = TestServer::start(Server::builder().service(Tower.serve()))?;
    /// let clock = server.connect::<ClockClient>().await?;
    /// server.network().cut();
    /// assert!(clock.session().closed().await.is_lost());
    ///
    /// let clock = server.connect::<ClockClient>().await?; // anew
    /// assert_eq!(clock.hour().await?, 12);
    /// # Ok(())
    /// # }
    /// ```
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The server, to shut it down for instance, or to let it listen at a socket as well.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The open sessions of the server.
    pub fn sessions(&self) -> &Sessions {
        self.server.sessions()
    }

    /// What clients ask for.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A client's end of a connection. At a server that has been shut down or dropped the other end is gone: the client
    /// sees it, and the test sees what the client makes of it.
    pub(crate) fn link(&self) -> NetworkStream {
        link(Some(&self.server), &self.network)
    }

    /// As [`Self::link`], as often as a client asks. The client does not keep the server.
    fn links(&self) -> impl Fn() -> Ready<io::Result<NetworkStream>> + Send + Sync + use<> {
        let (server, network) = (Arc::downgrade(&self.server), self.network.clone());
        move || ready(Ok(link(server.upgrade().as_deref(), &network)))
    }
}

fn link(server: Option<&Server>, network: &Network) -> NetworkStream {
    let (near, far) = network.pair();
    if let Some(server) = server {
        // A server that has been shut down drops the stream, as it refuses a connection to a socket.
        let _ = server.serve_stream(far, ConnectionInfo::default());
    }
    near
}
