//! `ServerBuilder`: collects the services and limits of a server.

mod limits;

use std::{fmt, sync::Arc, time::Duration};

use rpc_core::{
    Config, Hosting, HostingBuilder, IntoService, MemoryPool, Principal, SessionHooks, intercept::Interceptor,
    observe::Observer,
};

use crate::{
    admission::{self, Admission},
    auth::{Authenticator, Gatekeeper, renewals},
    caps::Caps,
    error::BuildError,
    groups::Groups,
    routes::{Application, RouteService, RoutesBuilder},
    server::Server,
    sessions::Sessions,
    shared::ServerShared,
};

const MAX_CONNECTIONS: usize = 10_000;
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1_000;
const MEMORY: usize = 2 << 30;
const REPLAY_TOTAL: usize = 256 << 20;
/// Headers of a request, by default and at most.
const MAX_HEADERS: usize = 100;
const MOST_HEADERS: usize = 1_000;

impl Server {
    /// Begins a server that has no services yet.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            hosting: Hosting::builder(),
            config: Config::default(),
            any_origin: false,
            origins: Vec::new(),
            routes: RoutesBuilder::default(),
            sessions: Sessions::new(),
            hosts: Vec::new(),
            trusted: Vec::new(),
            kept: None,
            drain_delay: Duration::ZERO,
            max_headers: MAX_HEADERS,
            max_connections: MAX_CONNECTIONS,
            max_connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            memory: None,
            replay_total: None,
            authenticator: None,
            resume_anonymous: false,
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
#[must_use = "a server begins with `build` or `listen`"]
pub struct ServerBuilder {
    hosting: HostingBuilder,
    config: Config,
    any_origin: bool,
    origins: Vec<String>,
    routes: RoutesBuilder,
    hosts: Vec<String>,
    trusted: Vec<String>,
    kept: Option<Vec<String>>,
    drain_delay: Duration,
    sessions: Sessions,
    max_headers: usize,
    max_connections: usize,
    max_connections_per_address: usize,
    memory: Option<usize>,
    replay_total: Option<usize>,
    authenticator: Option<Arc<dyn Authenticator>>,
    resume_anonymous: bool,
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

    /// The groups that the server's sessions will be in; the same as [`Server::groups`]. This is for objects and hooks
    /// that need the groups and are made before the server is: `ChatHouse::new(builder.groups())`.
    pub fn groups(&self) -> Groups {
        self.sessions.groups().clone()
    }

    /// Runs hooks when a session opens, which may refuse the session, and when a session has ended. Of several hooks,
    /// the first that was added is the first to see a session open, and the last to see the session closed.
    pub fn hooks(mut self, hooks: impl SessionHooks) -> Self {
        let hooks = self.sessions.groups().before(hooks);
        self.hosting = self.hosting.hooks(hooks);
        self
    }

    /// Asks who each client is, and refuses those whom the authenticator refuses. Without an authenticator every client
    /// may connect, and has no principal unless hooks or HTTP layers set one. A second call replaces the first one.
    /// Requests to a [`route`](Self::route) or the [`fallback`](Self::fallback) are not its concern: they are answered
    /// without it.
    ///
    /// The guide has [a chapter on authentication](crate::guide::authentication).
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Decides whether a principal has a role, for the methods with `#[rpc(allow = "role")]`:
    /// `.authorizer(|principal, role| principal.value::<User>().is_some_and(|user| user.has(role)))`. It runs before
    /// the interceptors and the method, at each call of such a method, so it must not block. A caller without a
    /// principal has no role. A call that is refused fails with `PERMISSION_DENIED`, and the method has not run.
    ///
    /// A server whose contracts have such methods cannot be built without an authorizer. A second call replaces the
    /// first one.
    pub fn authorizer(mut self, decide: impl Fn(&Principal, &str) -> bool + Send + Sync + 'static) -> Self {
        self.hosting = self.hosting.authorizer(decide);
        self
    }

    /// Refuses the calls of all methods whose contracts do not say who may call them. `#[rpc(allow = "*")]` opens a
    /// method to every caller, also to one without a principal.
    pub fn deny_by_default(mut self) -> Self {
        self.hosting = self.hosting.deny_by_default();
        self
    }

    /// Puts an interceptor around every call of every session: calls that clients make, and calls that the server makes
    /// back to clients. Of several interceptors, the first that was added is the outermost.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.hosting = self.hosting.interceptor(interceptor);
        self
    }

    /// Adds an observer, such as [`Metrics`](rpc_core::observe::Metrics): it hears of all calls and sessions, and
    /// changes nothing.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.hosting = self.hosting.observer(observer);
        self
    }

    /// Sets the limits and times of every session.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the path at which sessions begin, for instance `/rpc`, for the listeners of the server and for
    /// [`Server::front`]. A path has no slash at its end unless one is written here. Of several calls the last one
    /// counts.
    ///
    /// Without it, sessions begin at every path of a server that has only [health routes](Self::health_routes) besides,
    /// and at `/` once the server has a [`route`](Self::route) or a [`fallback`](Self::fallback). A path that nothing
    /// serves is answered with 404 and the list of the paths that are served.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.routes.sessions = Some(path.into());
        self
    }

    /// Serves the requests to one path by a service of the application, for the listeners of the server and for
    /// [`Server::front`]. The path is compared as a whole; a service that looks at paths by itself, for instance an
    /// axum `Router`, fits better as the [`fallback`](Self::fallback).
    ///
    /// A listener speaks HTTP/1.1 with keep-alive. A request's head, and the wait for the next request, take at most
    /// [`Config::upgrade_timeout`](rpc_core::Config::upgrade_timeout); an answer takes as long as it takes, unless the
    /// client takes no byte of it for [`Config::write_timeout`](rpc_core::Config::write_timeout). When the
    /// server shuts down, answers that are under way are sent to their ends within
    /// [`Config::drain_timeout`](rpc_core::Config::drain_timeout).
    ///
    /// A WebSocket by hand is such a service too (module `raw`).
    pub fn route(mut self, path: impl Into<String>, service: impl RouteService) -> Self {
        self.routes.applications.push((path.into(), Application::new(service)));
        self
    }

    /// Serves the requests to all other paths by a service of the application, for instance an axum `Router`: otherwise
    /// as [`route`](Self::route). Of several calls the last one counts.
    pub fn fallback(mut self, service: impl RouteService) -> Self {
        self.routes.fallback = Some(Application::new(service));
        self
    }

    /// Serves two paths for orchestrators and load balancers. `/healthz` is answered with 200 whenever the process can
    /// answer. `/readyz` is answered with 200 as long as the server takes sessions, and with 503 as soon as it drains.
    ///
    /// Off by default: by default a server answers nothing but requests for the WebSocket.
    pub fn health_routes(mut self) -> Self {
        self.routes.probes = true;
        self
    }

    /// Lets web pages of this origin connect, beside the pages of the server's own host and port:
    /// `https://app.example.com`. May be called several times. Where clients connect by TLS, a page that came without
    /// TLS is of another origin, as browsers see it.
    ///
    /// An origin is scheme, host and port, as browsers send it (RFC 6454 §6.2): without a path, not even a slash at
    /// its end, and without wildcards. The port may be left out where it is the scheme's default. `null` and `file://`
    /// stand for pages without a host. Any other text could never match, so [`build`](Self::build) refuses it.
    ///
    /// Browsers let any page open a WebSocket to any server, cookies included, and leave it to the server to refuse
    /// (RFC 6455 §10.2). Programs other than browsers send no origin, and are not affected.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Lets web pages of all origins connect. This is for servers that trust nothing that a browser adds to
    /// a request by itself, such as cookies or the client's address.
    pub fn allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Lets clients connect under this name of the server alone, besides others that are allowed: a host like
    /// `example.com`, which may have any port, or with its port, like `localhost:9000`. May be called several times; a
    /// text that is no host is an error at [`build`](Self::build). Without it, every name is right.
    ///
    /// The name is taken from the header `Host`. A request for a session under another name is answered with 421. This
    /// stops a web page that lets its own name lead to this server's address (DNS rebinding): a browser then takes the
    /// page and the server for one, so that the page seems to belong to the server's own host.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Keeps only these headers of a session's request, for [`Context::headers`](rpc_core::Context::headers) and
    /// [`ConnectionInfo::headers`](rpc_core::ConnectionInfo::headers), also in hooks. Several calls add up; a text that
    /// is no name of a header is an error at [`build`](Self::build). `keep_headers([""; 0])` keeps none.
    ///
    /// By default a session keeps all headers of its request for as long as it lives: up to 64 KiB, usually about
    /// 1 KiB, with cookies and tokens among them. Name the headers that hooks and handlers read.
    pub fn keep_headers<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.kept.get_or_insert_default().extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets how many headers a request may have; a name that comes twice counts twice. Default 100; 0 or more than
    /// 1,000 is an error at [`build`](Self::build). A request with more headers is answered with 431 (RFC 6585 §5),
    /// and no hook, authenticator or route sees it. The headers of a request are 64 KiB long at most, however many they
    /// are.
    ///
    /// A lower number fits a server whose clients are all known: this project's own client sends six headers and
    /// those that the program adds. A higher number lets clients in to whose requests proxies or browsers add many
    /// headers, and lets each session keep more memory: 256 bytes for each header, beside the header's text. The limit
    /// stops a peer that sends many short headers, which take far more memory than they have bytes.
    ///
    /// Another HTTP server ([`Server::upgrade`], [`Server::front`]) has a limit of its own, often 100. There, requests
    /// for the WebSocket must keep both limits, and other requests that limit alone.
    pub fn max_headers(mut self, most: usize) -> Self {
        self.max_headers = most;
        self
    }

    /// Sets how long the server still takes clients after a signal has asked for its end
    /// ([`Server::shutdown_on_signal`]), while `/readyz` is red already. Default 0. Orchestrators and load balancers
    /// ask now and then, and send clients until they have heard: give them a bit more than the time between two
    /// questions.
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// Believes what these proxies say about their clients: addresses, or networks like `10.0.0.0/8`. May be called
    /// several times; what is no address and no network is an error at [`build`](Self::build).
    ///
    /// For a request whose connection comes from such a proxy, the client is the rightmost address in the header
    /// `X-Forwarded-For` that is not itself trusted. That address is the session's
    /// [`peer_addr`](rpc_core::Session::peer_addr), with port 0 if the header has none, and it counts under
    /// [`max_connections_per_address`](Self::max_connections_per_address): a session as long as it lives, another
    /// request until its answer has been sent. From all others the header is not read, since any client can write it.
    /// The header `Forwarded` (RFC 7239) is never read: a proxy that sets one of the two passes the other on as its
    /// client wrote it. Trust no network from which clients can connect by themselves.
    pub fn trusted_proxies<T: Into<String>>(mut self, proxies: impl IntoIterator<Item = T>) -> Self {
        self.trusted.extend(proxies.into_iter().map(Into::into));
        self
    }

    /// Makes the server, which does not listen yet: see [`Server::listen`] and [`Server::upgrade`].
    ///
    /// # Errors
    ///
    /// If something cannot work: services that cannot be hosted together, a [`memory`](Self::memory) or a number of
    /// connections that is too small, a [`replay_total`](Self::replay_total) that is too large, a number of headers
    /// that is too small or too large, an origin that no page can have, a host or a proxy that is no address, a header
    /// without a name, or a path that no request can have or that two routes have.
    pub fn build(self) -> Result<Server, BuildError> {
        let least = self.config.session_memory();
        let memory = self.memory.unwrap_or(MEMORY.max(least));
        if memory < least {
            return Err(BuildError::Memory { given: memory, least });
        }
        let replay_total = self.replay_total.unwrap_or(REPLAY_TOTAL.min(memory));
        if replay_total > memory {
            return Err(BuildError::ReplayTotal { given: replay_total, most: memory });
        }
        for (setting, most) in [
            ("max_connections", self.max_connections),
            ("max_connections_per_address", self.max_connections_per_address),
        ] {
            if most == 0 {
                return Err(BuildError::NoConnections { setting });
            }
        }
        if !(1..=MOST_HEADERS).contains(&self.max_headers) {
            return Err(BuildError::MaxHeaders { given: self.max_headers, most: MOST_HEADERS });
        }
        let gatekeeper = Gatekeeper::new(self.authenticator);
        let admission = Admission {
            max_headers: self.max_headers,
            origins: admission::origins(self.any_origin, self.origins)?,
            hosts: admission::hosts(self.hosts)?,
            proxies: admission::proxies(self.trusted)?,
            kept: self.kept.map(admission::header_names).transpose()?,
            gatekeeper: gatekeeper.clone(),
            resume_anonymous: self.resume_anonymous,
        };
        let routes = self.routes.build().map_err(|(given, why)| BuildError::Path { given, why })?;
        let pools = [memory, replay_total].map(MemoryPool::new);
        let hosting = match gatekeeper.is_set() {
            true => self.hosting.__renewals(renewals(&gatekeeper, &self.config)),
            false => self.hosting,
        };
        // These hooks are the last, so that a session is in the collection when all hooks have let it in.
        let hosting = hosting.hooks(self.sessions.hooks());
        let hosting = hosting.memory(pools[0].clone()).__replay(pools[1].clone()).build()?;
        let caps = Caps::new(self.max_connections, self.max_connections_per_address);
        let shared = ServerShared::new(hosting, self.config, admission, routes, self.sessions, pools, caps);
        Ok(Server::new(shared.with_drain_delay(self.drain_delay)))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("hosting", &self.hosting)
            .field("config", &self.config)
            .field("any_origin", &self.any_origin)
            .field("origins", &self.origins)
            .field("max_headers", &self.max_headers)
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_address", &self.max_connections_per_address)
            .field("memory", &self.memory)
            .field("replay_total", &self.replay_total)
            .field("authenticator", &self.authenticator.is_some())
            .finish_non_exhaustive()
    }
}
