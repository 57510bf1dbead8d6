//! A network cable that can be pulled and plugged in again, for the demos of the other examples: a relay between a
//! client and the server.

use std::{io, net::SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Carries connections while it is plugged in. Dropping it pulls it for good.
#[derive(Debug)]
pub struct Cable {
    addr: SocketAddr,
    plugged: watch::Sender<bool>,
}

impl Cable {
    /// Makes a cable to the server, which is plugged in.
    pub async fn new(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, plugged) = (listener.local_addr()?, watch::Sender::new(true));
        let mut state = plugged.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut pulled = state.clone();
                if !*state.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    // Either way, both sockets are dropped.
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = pulled.wait_for(|plugged| !plugged) => {}
                    }
                });
            }
        });
        Ok(Self { addr, plugged })
    }

    /// The address to which the client connects.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends all connections without a goodbye, and new ones at once.
    pub fn pull(&self) {
        self.plugged.send_replace(false);
    }

    /// Lets new connections through.
    pub fn plug_in(&self) {
        self.plugged.send_replace(true);
    }
}
