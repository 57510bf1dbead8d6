//! Shutting down when the operating system says so.

use std::{io, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::{
    server::Server,
    shared::{ServerShared, Stop},
};

/// How long the goodbyes to the peers may take after a second signal.
const GOODBYES: Duration = Duration::from_secs(1);

impl Server {
    /// Shuts down in good order when the operating system asks the process to end: SIGTERM, or SIGINT, which Ctrl-C
    /// sends (other systems than Unix have Ctrl-C alone). Returns when the server has been shut down, by a signal or by
    /// another handle.
    ///
    /// At the signal the server is not ready any more: `/readyz` is red
    /// ([`ServerBuilder::health_routes`](crate::ServerBuilder::health_routes)). After
    /// [`ServerBuilder::drain_delay`](crate::ServerBuilder::drain_delay) it drains, as [`shutdown`](Self::shutdown)
    /// does. A second signal ends the server at once: sessions are closed without waiting for calls, and this returns
    /// within about a second.
    ///
    /// From the first poll on, the signals do not end the process by themselves any more. Dropping the future gives up
    /// waiting for the first signal; a shutdown that has begun goes on.
    ///
    /// ```no_run
    /// use rpc_server::Server;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder().health_routes().build()?;
    /// let _listener = server.listen("0.0.0.0:9000").await?;
    /// server.shutdown_on_signal().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the future is polled outside of a tokio runtime, or in one without IO and time.
    pub async fn shutdown_on_signal(&self) {
        self.shutdown_signal().await;
        self.shutdown().await;
    }

    /// Waits for the signal that [`shutdown_on_signal`](Self::shutdown_on_signal) waits for, and begins the drain. It
    /// is for another HTTP server with the sessions of this one ([`upgrade`](Self::upgrade)): a graceful shutdown of
    /// that server forgets upgraded connections, so both shut down. With axum, which waits without an end for a client
    /// that has sent half a request:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use axum::Router;
    /// use rpc_server::Server;
    /// use tokio::{net::TcpListener, time::sleep};
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder().build()?;
    /// let app = Router::new().route_service("/rpc", server.upgrade());
    /// let listener = TcpListener::bind("0.0.0.0:80").await?;
    /// let pages = axum::serve(listener, app).with_graceful_shutdown(server.shutdown_signal());
    /// // What is not answered three seconds after the last session has ended is given up.
    /// let overdue = async {
    ///     server.wait().await;
    ///     sleep(Duration::from_secs(3)).await;
    /// };
    /// tokio::select! {
    ///     ended = pages => ended?,
    ///     () = overdue => {}
    /// }
    /// server.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Ready when the drain has begun: after the signal and
    /// [`ServerBuilder::drain_delay`](crate::ServerBuilder::drain_delay), or when another handle shuts the server down.
    /// A second signal closes the sessions at once, also after the future is ready, as long as there are sessions. The
    /// future is a handle of the server.
    ///
    /// # Panics
    ///
    /// If the future is polled outside of a tokio runtime, or in one without IO and time.
    pub fn shutdown_signal(&self) -> impl Future<Output = ()> + Send + use<> {
        let server = self.clone();
        async move {
            let shared = server.shared();
            tokio::select! {
                () = shared.stopped() => return,
                signals = first() => {
                    info!("a signal asks for the end");
                    shared.set_unready();
                    tokio::spawn(again(Arc::clone(shared), signals));
                }
            }
            tokio::select! {
                () = sleep(shared.drain_delay) => {}
                () = shared.stopped() => {}
            }
            server.begin_shutdown();
        }
    }
}

/// Waits for the first signal. If the system does not tell of signals, this waits for ever, and the log says why.
async fn first() -> Signals {
    match Signals::new() {
        Ok(mut signals) => {
            signals.next().await;
            signals
        }
        Err(error) => {
            warn!("the server does not hear of signals: {error}");
            std::future::pending().await
        }
    }
}

/// Ends the server at once at the second signal. Returns when the server has ended.
async fn again(shared: Arc<ServerShared>, mut signals: Signals) {
    tokio::select! {
        () = async { shared.stopped().await; shared.over().await } => return,
        () = signals.next() => {}
    }
    warn!("a second signal ends the server at once");
    shared.stop(Stop::AtOnce);
    shared.sessions.close();
    let _ = timeout(GOODBYES, shared.ended()).await;
    shared.give_up();
}

/// The signals that ask for the end of a process.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            warn!("the server does not hear of signals: {error}");
            std::future::pending::<()>().await;
        }
    }
}
