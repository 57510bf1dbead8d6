//! A way to the server that can be blocked: what takes it becomes a client that reads nothing.

use std::{net::SocketAddr, sync::Arc};

use common::Outcome;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A listener for one connection, which goes on to the server.
#[derive(Debug)]
pub(crate) struct Detour {
    pub(crate) addr: SocketAddr,
    block: Arc<Notify>,
}

impl Detour {
    pub(crate) async fn to(server: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, block) = (listener.local_addr()?, Arc::new(Notify::new()));
        let blocked = Arc::clone(&block);
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await?;
            let mut far = TcpStream::connect(server).await?;
            tokio::select! {
                ended = copy_bidirectional(&mut near, &mut far) => ended.map(drop),
                // Both sockets stay open.
                () = blocked.notified() => std::future::pending().await,
            }
        });
        Ok(Self { addr, block })
    }

    /// From now on, nothing is read of what the server sends.
    pub(crate) fn block(self) {
        self.block.notify_one();
    }
}
