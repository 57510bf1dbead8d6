//! `ServerBuilder`: collects the services and limits of a server.

use rpc_core::{Config, Hosting, HostingBuilder, IntoService, MemoryPool, SessionHooks, intercept::Interceptor};
use tokio::net::ToSocketAddrs;

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    caps::Caps,
    error::{BuildError, ListenError},
    handle::ServerHandle,
    origin::Origins,
    server::Server,
    sessions::Sessions,
    shared::ServerShared,
};

const MAX_CONNECTIONS: usize = 10_000;
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1_000;
const MEMORY: usize = 2 << 30;

impl Server {
    /// Begins a server that has no services yet.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            hosting: Hosting::builder(),
            config: Config::default(),
            any_origin: false,
            origins: Vec::new(),
            sessions: Sessions::new(),
            max_connections: MAX_CONNECTIONS,
            max_connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            memory: None,
        }
    }
}

/// Collects the services and limits of a server. [`build`](Self::build) makes the server, and [`listen`](Self::listen)
/// makes it and lets it listen.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_server::{
///     Server,
///     intercept::{TimeoutCap, Tracing},
/// };
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
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder()
///     .service(Tower.serve())
///     .interceptor(Tracing::new())
///     .interceptor(TimeoutCap::incoming(Duration::from_secs(30)))
///     .allow_origin("https://app.example.com")
///     .max_connections(500)
///     .build()?;
/// let listener = server.listen("127.0.0.1:0").await?;
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a server begins with `build` or `listen`"]
pub struct ServerBuilder {
    hosting: HostingBuilder,
    config: Config,
    any_origin: bool,
    origins: Vec<String>,
    sessions: Sessions,
    max_connections: usize,
    max_connections_per_address: usize,
    memory: Option<usize>,
}

impl ServerBuilder {
    /// Hosts one more service in every session: `.service(Chat::serve(ChatHouse::new()))`.
    ///
    /// The contracts of all services need different names; otherwise [`build`](Self::build) fails.
    pub fn service(mut self, service: impl IntoService) -> Self {
        self.hosting = self.hosting.service(service);
        self
    }

    /// The sessions that the server will have; the same collection as [`Server::sessions`]. This is for objects and
    /// hooks that need the collection and are made before the server is: `ChatHouse::new(builder.sessions())`.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Runs hooks when a session opens, which may refuse the session, and when a session has ended. Of several hooks,
    /// the one that was added first is the first to see a session open, and the last to see the session closed.
    pub fn hooks(mut self, hooks: impl SessionHooks) -> Self {
        self.hosting = self.hosting.hooks(hooks);
        self
    }

    /// Puts an interceptor around every call of every session: calls that clients make, and calls that the server makes
    /// back to clients. Of several interceptors, the one that was added first is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.hosting = self.hosting.interceptor(interceptor);
        self
    }

    /// Sets the limits and times of every session.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Lets web pages of this origin connect besides those of the server's own host and port:
    /// `https://app.example.com`. May be called several times.
    ///
    /// An origin is scheme, host and port, as browsers send it (RFC 6454 §6.2): without a path, not even a slash at its
    /// end, and without wildcards. The port may be left out where it is the scheme's default. `null` and `file://`
    /// stand for pages without a host. Any other text could never match, so [`build`](Self::build) refuses it.
    ///
    /// Browsers let any page open a WebSocket to any server, cookies included, and leave it to the server to refuse
    /// (RFC 6455 §10.2). Programs other than browsers send no origin, and are not affected.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Lets every web page connect, whatever its origin. This is for servers that trust nothing that a browser adds to
    /// a request by itself, such as cookies or the client's address.
    pub fn allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Sets how many connections there may be in all, from all listeners and upgrades. Default 10,000; 0 is an error at
    /// [`build`](Self::build). Each connection costs a file descriptor and, when idle, about 40 KiB. The server answers
    /// a further connection with 503, and closes it without an answer if it comes by TLS.
    ///
    /// A connection to a [`Listener`](crate::Listener) counts from the moment in which it is accepted. Within another
    /// HTTP server ([`Server::upgrade`]), which accepts by itself, it counts from its upgrade on.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most;
        self
    }

    /// Sets how many connections one IP address may have, as [`max_connections`](Self::max_connections) counts them.
    /// Default 1,000; 0 is an error at [`build`](Self::build). This stops a single peer from taking all connections;
    /// raise the number if many users come through one proxy. Connections of an [`Upgrade`](crate::Upgrade) whose
    /// address is unknown count in `max_connections` alone.
    pub fn max_connections_per_address(mut self, most: usize) -> Self {
        self.max_connections_per_address = most;
        self
    }

    /// Sets how many bytes clients can make the server hold in all sessions together. Default 2 GiB, or
    /// [`Config::session_memory`](rpc_core::Config::session_memory) if that is more; a value below `session_memory` is
    /// an error at [`build`](Self::build). It counts what comes in, as `session_memory` does: arguments, payloads that
    /// are arriving, items that wait for their reader, results that wait for their caller. Results and long items of
    /// streams count as well while they wait to be sent, with their encoded length: no other limit bounds them. All
    /// other output is bounded in each session alone.
    ///
    /// At the bound, a call, a result, an item or a stream's error that would take its session to the average of all
    /// sessions, or above it, fails with `RESOURCE_EXHAUSTED`. Lighter sessions are served. If the sum passes the bound
    /// by a sixteenth nevertheless, because of data that cannot be refused or of many light sessions, the server closes
    /// the heaviest session with [`ConnectionError::Overloaded`](rpc_core::ConnectionError::Overloaded) (code 1013),
    /// even if that session does nothing at that moment. Sessions count in steps of 4 KiB, so the sum may be off by as
    /// much for each of them.
    ///
    /// A smaller bound protects a small machine, and refuses sooner what many clients send at once. A larger bound lets
    /// more clients send large arguments at the same time. The bound stops many sessions, each within its own limits,
    /// from taking all the memory of the process.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Makes the server, which does not listen yet: see [`Server::listen`] and [`Server::upgrade`].
    ///
    /// # Errors
    ///
    /// If something cannot work: services that cannot be hosted together, a [`memory`](Self::memory) or a number of
    /// connections that is too small, or an origin that no page can have.
    pub fn build(self) -> Result<Server, BuildError> {
        let least = self.config.session_memory();
        let memory = self.memory.unwrap_or(MEMORY.max(least));
        if memory < least {
            return Err(BuildError::Memory { given: memory, least });
        }
        for (setting, most) in [
            ("max_connections", self.max_connections),
            ("max_connections_per_address", self.max_connections_per_address),
        ] {
            if most == 0 {
                return Err(BuildError::NoConnections { setting });
            }
        }
        let origins = origins(self.any_origin, self.origins)?;
        let memory = MemoryPool::new(memory);
        // These hooks are the last, so that a session is in the collection when all hooks have let it in.
        let hosting = self.hosting.hooks(self.sessions.hooks()).memory(memory.clone()).build()?;
        let caps = Caps::new(self.max_connections, self.max_connections_per_address);
        Ok(Server::new(ServerShared::new(hosting, self.config, origins, self.sessions, memory, caps)))
    }

    /// Makes the server and lets it listen at an address, for instance `"127.0.0.1:9000"`: the short way of
    /// [`build`](Self::build) and [`Server::listen`].
    ///
    /// # Errors
    ///
    /// [`ListenError::Build`] if [`build`](Self::build) fails, which comes before the address is resolved. Otherwise
    /// the errors of [`Server::listen`].
    ///
    /// # Panics
    ///
    /// If it is awaited outside of a tokio runtime, or in one without IO and time.
    pub async fn listen(self, addr: impl ToSocketAddrs) -> Result<ServerHandle, ListenError> {
        let server = self.build()?;
        let listener = server.listen(addr).await?;
        Ok(ServerHandle::new(server, listener))
    }

    /// Makes the server and lets it listen at an address by TLS: the short way of [`build`](Self::build) and
    /// [`Server::listen_tls`].
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    #[cfg(feature = "tls")]
    pub async fn listen_tls(self, addr: impl ToSocketAddrs, tls: Tls) -> Result<ServerHandle, ListenError> {
        let server = self.build()?;
        let listener = server.listen_tls(addr, tls).await?;
        Ok(ServerHandle::new(server, listener))
    }
}

fn origins(any: bool, allowed: Vec<String>) -> Result<Origins, BuildError> {
    let mut origins = Origins::default();
    if any {
        origins.allow_any();
    }
    for given in allowed {
        if let Err(why) = origins.allow(&given) {
            return Err(BuildError::Origin { given, why });
        }
    }
    Ok(origins)
}
