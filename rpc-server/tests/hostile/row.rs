//! `Row`: a server, and a client that is served beside each hostile peer.

use std::future::Future;

use rpc_client::Connect;
use rpc_server::{ServerBuilder, ServerHandle};
use rpc_testing::{Link, SOON};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::{
    raw::{DeskClient, Raw},
    transport::Transport,
};

/// How many connections each server may have: more than any row needs at once.
pub(crate) const MOST: usize = 16;

/// A server, and a client that has had a session since before any hostile peer came.
pub(crate) struct Row {
    pub(crate) server: ServerHandle,
    transport: Transport,
    healthy: DeskClient,
}

impl Row {
    pub(crate) async fn begin(transport: Transport, builder: ServerBuilder) -> Self {
        let server = transport.listen(builder.max_connections(MOST)).await;
        let connecting = DeskClient::connect(transport.url(server.local_addr(), "/"));
        // No row refuses the bearer of this token.
        let connecting = transport.trusting(connecting).header("authorization", "Bearer healthy");
        let healthy = timeout(SOON, connecting).await.unwrap().unwrap();
        Self { server, transport, healthy }
    }

    /// A peer that has said nothing; over `wss://` it has done the handshake of TLS.
    pub(crate) async fn peer(&self) -> Raw<Link> {
        self.transport.peer(self.server.local_addr()).await
    }

    /// A peer that has said nothing at all.
    pub(crate) async fn silent(&self) -> Raw<Link> {
        Raw(Box::new(TcpStream::connect(self.server.local_addr()).await.unwrap()))
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }

    /// A peer that has become a WebSocket; `None` if the server has no place for the peer. Over `wss://` the connection
    /// just ends then.
    pub(crate) async fn try_upgrade(&self) -> Option<Raw<Link>> {
        self.transport.try_peer(self.server.local_addr()).await.ok()?.try_upgrade().await.ok()
    }

    /// A peer that has sent a GET request with these header lines; the head and the body of the answer. The body of an
    /// upgrade is empty.
    pub(crate) async fn ask(&self, lines: &[&str]) -> (Raw<Link>, String, String) {
        let mut peer = self.peer().await;
        let head = peer.get(lines).await;
        let is_upgrade = head.starts_with("HTTP/1.1 101");
        let body = if is_upgrade { String::new() } else { peer.body(&head).await };
        (peer, head.to_lowercase(), body)
    }

    /// The healthy client calls, and is answered. The server runs in the same thread, so that it has seen by then what
    /// its peers sent before.
    pub(crate) async fn served(&self) {
        assert!(timeout(SOON, self.healthy.address()).await.unwrap().unwrap().is_some());
    }

    /// Waits until the server has this many open sessions.
    pub(crate) async fn sessions(&self, count: usize) {
        while self.server.sessions().len() != count {
            self.served().await;
        }
    }

    /// Runs peers while the healthy client calls without a pause. The peers leave nothing.
    pub(crate) async fn beside<T>(&self, peers: impl Future<Output = T>) -> T {
        let calls = async {
            loop {
                self.served().await;
            }
        };
        let said = tokio::select! {
            said = timeout(SOON, peers) => said.expect("the peers end"),
            () = calls => unreachable!("the calls go on"),
        };
        timeout(SOON, self.all_places()).await.expect("every place is free");
        said
    }

    /// Takes every place that the server has beside the healthy client's, and gives them back.
    async fn all_places(&self) {
        let mut taken = Vec::new();
        while taken.len() < MOST - 1 {
            // A place that is not free yet is refused.
            match self.try_upgrade().await {
                Some(peer) => taken.push(peer),
                None => self.served().await,
            }
        }
        drop(taken);
        while self.server.sessions().connections() != 1 {
            self.served().await;
        }
        self.sessions(1).await;
        self.served().await;
    }
}

impl<IO: AsyncReadExt + Unpin> Raw<IO> {
    /// Whether the server has neither said anything nor ended the connection.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        futures::poll!(Box::pin(self.0.read_u8())).is_pending()
    }
}
