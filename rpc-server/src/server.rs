//! `Server`: services, limits and addresses put together.

use rpc_core::{
    CheckedConfig, Config, Hosting, HostingBuilder, IntoService, MemoryPool, SessionHooks, intercept::Interceptor,
};
use tokio::net::{TcpListener, ToSocketAddrs, lookup_host};

use crate::{
    error::{ListenError, UpgradeError},
    handle::ServerHandle,
    sessions::Sessions,
    upgrade::{Origins, Upgrade},
};

const MAX_CONNECTIONS: usize = 10_000;
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1_000;
const MEMORY: usize = 2 << 30;

/// Where a server begins: [`Server::builder`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Server;

impl Server {
    /// A server to be, without services yet.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            hosting: Hosting::builder(),
            config: Config::default(),
            origins: Origins::default(),
            sessions: Sessions::new(),
            max_connections: MAX_CONNECTIONS,
            max_connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            memory: None,
        }
    }
}

/// A server to be. Ends with [`listen`](Self::listen), [`serve_listener`](Self::serve_listener) or
/// [`into_upgrade`](Self::into_upgrade).
#[derive(Debug)]
#[must_use = "a server starts with `listen`"]
pub struct ServerBuilder {
    hosting: HostingBuilder,
    config: Config,
    origins: Origins,
    sessions: Sessions,
    max_connections: usize,
    max_connections_per_address: usize,
    memory: Option<usize>,
}

impl ServerBuilder {
    /// Hosts one more service in every session: `.service(Chat::serve(ChatHouse::new()))`.
    ///
    /// Services are told apart by the names of their contracts. Two of one name are an error when the server starts.
    pub fn service(mut self, service: impl IntoService) -> Self {
        self.hosting = self.hosting.service(service);
        self
    }

    /// The sessions that the server will have; the same as [`ServerHandle::sessions`]. For objects and hooks that need
    /// them, which are made before the server is: `ChatHouse::new(builder.sessions())`.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Runs code when a session opens, which may refuse it, and when it has ended. May be called several times: the
    /// first one added is the first to see a session open, and the last to see it closed.
    pub fn hooks(mut self, hooks: impl SessionHooks) -> Self {
        self.hosting = self.hosting.hooks(hooks);
        self
    }

    /// Puts code around every call of every session, those that clients make and those that the server makes back to
    /// them. May be called several times: the first one added is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.hosting = self.hosting.interceptor(interceptor);
        self
    }

    /// Sets the limits and times of every session. A value that cannot work is an error when the server starts.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Lets web pages of this origin connect besides those of the server's own host and port:
    /// `https://app.example.com`, or `*` for all. May be called several times.
    ///
    /// Browsers let any page open a WebSocket to any server, cookies included, and leave it to the server to refuse
    /// (RFC 6455 §10.2). Programs that are no browsers send no origin and are not affected.
    pub fn allow_origin(mut self, origin: impl AsRef<str>) -> Self {
        self.origins.allow(origin.as_ref());
        self
    }

    /// How many connections there may be in all. Default 10,000. Each costs a file descriptor and about 40 KiB when
    /// idle; one more is answered with 503 and dropped. Does not apply to [`into_upgrade`](Self::into_upgrade), where
    /// another server accepts.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most;
        self
    }

    /// How many connections one IP address may have. Default 1,000. Stops a single peer from taking all; raise it where
    /// many users come through one proxy. Does not apply to [`into_upgrade`](Self::into_upgrade).
    pub fn max_connections_per_address(mut self, most: usize) -> Self {
        self.max_connections_per_address = most;
        self
    }

    /// Bytes that clients can make the server hold in all sessions together. Default 2 GiB, or
    /// [`Config::session_memory`](rpc_core::Config::session_memory) if that is more; a value below `session_memory` is
    /// an error when the server starts. It counts what comes in, as `session_memory` does: arguments, payloads that are
    /// arriving, items that wait for their reader, results that wait for their caller. Results and
    /// long items of streams count as well while they wait to be sent, with their encoded length: nothing else bounds
    /// them. What else goes out is bounded in each session alone.
    ///
    /// At the bound, a call, a result, an item or a stream's error that would take its session to the average of all
    /// sessions, or above it, fails with `RESOURCE_EXHAUSTED`. Lighter sessions are served. If the sum passes the bound
    /// by a sixteenth all the same, because of what cannot be refused or of many light sessions, the heaviest session
    /// is closed with [`ConnectionError::Overloaded`](rpc_core::ConnectionError::Overloaded) (code 1013), also if it
    /// does nothing at that moment. Sessions count in steps of 4 KiB, so the sum may be off by as much for each of
    /// them.
    ///
    /// Less protects a small machine, and refuses sooner what many clients send at once; more lets more of them send
    /// large arguments at the same time. Stops many sessions, each within its own limits, from taking all the memory of
    /// the process.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Starts the server at an address, for instance `"127.0.0.1:9000"`. Port 0 takes any free port, which
    /// [`ServerHandle::local_addr`] then tells. Of several addresses that a name stands for, the first that works is
    /// taken. Every path of a URL leads here; use [`Self::into_upgrade`] inside another HTTP server to tell paths
    /// apart.
    ///
    /// # Errors
    ///
    /// If the services cannot be hosted together or the configuration cannot work, which is found out before the
    /// address is looked at; or if none of the addresses can be listened at; then the last one's error.
    pub async fn listen(self, addr: impl ToSocketAddrs) -> Result<ServerHandle, ListenError> {
        let (most, most_of_one_address) = (self.max_connections, self.max_connections_per_address);
        let upgrade = self.into_upgrade()?;
        let mut failed = None;
        for addr in lookup_host(addr).await.map_err(ListenError::Address)? {
            match TcpListener::bind(addr).await {
                Ok(listener) => return start(listener, upgrade, most, most_of_one_address),
                Err(error) => failed = Some(ListenError::bind(addr, error)),
            }
        }
        Err(failed.unwrap_or_else(|| ListenError::Address(std::io::Error::other("the name stands for no address"))))
    }

    /// Starts the server on a socket that listens already, for instance one handed down by a supervisor. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the services cannot be hosted together, the configuration cannot work, or the socket does not tell its
    /// address.
    pub fn serve_listener(self, listener: TcpListener) -> Result<ServerHandle, ListenError> {
        let (most, most_of_one_address) = (self.max_connections, self.max_connections_per_address);
        start(listener, self.into_upgrade()?, most, most_of_one_address)
    }

    /// Makes a service for another HTTP server instead of listening.
    ///
    /// # Errors
    ///
    /// If the services cannot be hosted together, or the configuration cannot work.
    pub fn into_upgrade(self) -> Result<Upgrade, UpgradeError> {
        let config = CheckedConfig::try_from(self.config)?;
        let least = config.session_memory;
        let memory = self.memory.unwrap_or(MEMORY.max(least));
        if memory < least {
            return Err(UpgradeError::Memory { given: memory, least });
        }
        let pool = MemoryPool::new(memory);
        // The last of all hooks: a session is among the others when all have let it in.
        let hosting = self.hosting.hooks(self.sessions.hooks()).memory(pool.clone()).build()?;
        Ok(Upgrade::new(hosting, config, self.origins, self.sessions, pool))
    }
}

fn start(
    listener: TcpListener,
    upgrade: Upgrade,
    most: usize,
    most_of_one_address: usize,
) -> Result<ServerHandle, ListenError> {
    let local_addr = listener.local_addr().map_err(ListenError::Address)?;
    Ok(ServerHandle::start(listener, local_addr, upgrade, most, most_of_one_address))
}
