//! `ServerBuilder`: services and limits put together.

use rpc_core::{Config, Hosting, HostingBuilder, IntoService, MemoryPool, SessionHooks, intercept::Interceptor};
use tokio::net::ToSocketAddrs;

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
    /// A server to be, without services yet.
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

/// A server to be. [`build`](Self::build) makes it, and [`listen`](Self::listen) lets it listen too.
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
    /// Services are told apart by the names of their contracts. Two of one name are an error at [`build`](Self::build).
    pub fn service(mut self, service: impl IntoService) -> Self {
        self.hosting = self.hosting.service(service);
        self
    }

    /// The sessions that the server will have; the same as [`Server::sessions`]. For objects and hooks that need
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
    /// stand for pages without a host. Anything else could never match, and is an error at [`build`](Self::build).
    ///
    /// Browsers let any page open a WebSocket to any server, cookies included, and leave it to the server to refuse
    /// (RFC 6455 §10.2). Programs other than browsers send no origin, and are not affected.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Lets every web page connect, whatever its origin. For servers that trust nothing that a browser adds to a
    /// request by itself, such as cookies or the address from which it comes.
    pub fn allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// How many connections there may be in all, from all listeners and upgrades. Default 10,000; 0 is an error at
    /// [`build`](Self::build). Each costs a file descriptor and about 40 KiB when idle. One more is answered with 503.
    ///
    /// A connection to a [`Listener`](crate::Listener) counts from the moment in which it is accepted. Within another
    /// HTTP server ([`Server::upgrade`]), which accepts by itself, it counts from its upgrade on.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most;
        self
    }

    /// How many connections one IP address may have, as [`max_connections`](Self::max_connections) counts them. Default
    /// 1,000; 0 is an error at [`build`](Self::build). Stops a single peer from taking all; raise it where many users
    /// come through one proxy. Connections of an [`Upgrade`](crate::Upgrade) whose address is unknown count in all
    /// alone.
    pub fn max_connections_per_address(mut self, most: usize) -> Self {
        self.max_connections_per_address = most;
        self
    }

    /// Bytes that clients can make the server hold in all sessions together. Default 2 GiB, or
    /// [`Config::session_memory`](rpc_core::Config::session_memory) if that is more; a value below `session_memory` is
    /// an error at [`build`](Self::build). It counts what comes in, as `session_memory` does: arguments, payloads that
    /// are arriving, items that wait for their reader, results that wait for their caller. Results and long items of
    /// streams count as well while they wait to be sent, with their encoded length: no other limit bounds them. All
    /// other output is bounded in each session alone.
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

    /// Makes the server. It listens nowhere yet: see [`Server::listen`] and [`Server::upgrade`].
    ///
    /// # Errors
    ///
    /// If something cannot work: services that cannot be hosted together, a [`memory`](Self::memory) or a number of
    /// connections that is too small, an origin that no page can have.
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
        // The last of all hooks: a session is among the others when all have let it in.
        let hosting = self.hosting.hooks(self.sessions.hooks()).memory(memory.clone()).build()?;
        let caps = Caps::new(self.max_connections, self.max_connections_per_address);
        Ok(Server::new(ServerShared::new(hosting, self.config, origins, self.sessions, memory, caps)))
    }

    /// Makes the server and lets it listen at an address, for instance `"127.0.0.1:9000"`: the short way of
    /// [`build`](Self::build) and [`Server::listen`].
    ///
    /// # Errors
    ///
    /// [`ListenError::Build`] as [`build`](Self::build), which is found out before the address is looked at. Otherwise
    /// as [`Server::listen`].
    pub async fn listen(self, addr: impl ToSocketAddrs) -> Result<ServerHandle, ListenError> {
        let server = self.build()?;
        let listener = server.listen(addr).await?;
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
