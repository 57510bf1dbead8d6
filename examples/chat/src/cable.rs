//! A network cable that can be pulled: a relay between a client and the server.

use std::{io, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Carries one connection until the cable is pulled.
#[derive(Debug)]
pub(crate) struct Cable {
    addr: SocketAddr,
    relay: JoinHandle<()>,
}

impl Cable {
    /// Makes a cable to the server.
    pub(crate) async fn plug(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let relay = tokio::spawn(async move {
            let Ok((mut near, _)) = listener.accept().await else { return };
            let Ok(mut far) = TcpStream::connect(server).await else { return };
            // However the copying ends, it drops both sockets.
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
        Ok(Self { addr, relay })
    }

    /// The address to which the client connects.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends the connection without a goodbye.
    pub(crate) fn pull(self) {
        self.relay.abort();
    }
}
