//! Row 37 where the session goes on: a relay cuts the link at each byte of a call in turn, in both directions, and at
//! each byte of a callback. Each call runs once, and its caller gets the value.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rpc_client::{Client, Reconnect, connect};
use rpc_core::{Config, ConfigBuilder, Session};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{
    SOON,
    rows::{Guest, Host, HostClient, Scene, Victim},
    until,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{Place, listen};

/// The fewest bytes that a call has on its way, and its answer.
const LEAST: usize = 15;
const MILLISECOND: Duration = Duration::from_millis(1);

/// From where bytes come that the relay counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

/// A call that is cut off, and how often it makes the methods of both ends run.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// One at the server.
    Echo,
    /// One at the client, which a method of the server calls back.
    Ask,
}

/// Where the link is going to be cut: behind this many bytes more, from this end. It is cut once.
type Cut = Arc<Mutex<Option<(From, usize)>>>;

/// Carries connections to a server one after the other, each until it is cut or an end hangs up.
async fn relay(listener: TcpListener, server: SocketAddr, cut: Cut) {
    loop {
        let (near, far) = (listener.accept().await.unwrap().0, TcpStream::connect(server).await.unwrap());
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::select! {
            () = carry(From::Client, near_in, far_out, &cut) => {}
            () = carry(From::Server, far_in, near_out, &cut) => {}
        }
    }
}

async fn carry(from: From, mut reads: impl AsyncRead + Unpin, mut writes: impl AsyncWrite + Unpin, cut: &Cut) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reads.read(&mut buffer).await {
        let pass = {
            let mut cut = cut.lock().unwrap();
            match &mut *cut {
                Some((of, left)) if *of == from && *left < count => {
                    let pass = *left;
                    *cut = None;
                    pass
                }
                Some((of, left)) if *of == from => {
                    *left -= count;
                    count
                }
                _ => count,
            }
        };
        if writes.write_all(&buffer[..pass]).await.is_err() || pass < count {
            return;
        }
    }
}

fn resumable() -> ConfigBuilder {
    Config::builder().resume_window(SOON)
}

/// Both ends of a session, and what they count.
struct Pair {
    server: ServerHandle,
    at_server: Victim,
    client: Client,
    at_client: Victim,
    cut: Cut,
    relay: tokio::task::JoinHandle<()>,
}

impl Pair {
    async fn begin() -> Self {
        let (at_server, at_client, cut) = (Victim::default(), Victim::default(), Cut::default());
        let server = Server::builder().service(Host::serve(at_server.clone())).resume_anonymous(true);
        let server = server.config(resumable().build().unwrap()).listen("127.0.0.1:0").await.unwrap();
        let (listener, url) = listen().await;
        let relay = tokio::spawn(relay(listener, server.local_addr(), cut.clone()));
        let at_once = Reconnect::default().initial_delay(MILLISECOND).max_delay(MILLISECOND);
        let builder = connect(url).callback(Guest::serve(at_client.clone())).reconnect(at_once);
        let client = builder.config(resumable().build().unwrap()).await.unwrap();
        Self { server, at_server, client, at_client, cut, relay }
    }

    async fn call(&self, call: Call) {
        let host = self.client.client::<HostClient>();
        match call {
            Call::Echo => assert_eq!(host.echo("hi".to_owned()).await.as_deref(), Ok("hi")),
            Call::Ask => assert_eq!(host.ask().await.as_deref(), Ok("a server asks")),
        }
    }

    fn ran(&self) -> [usize; 2] {
        [self.at_server.echoed(), self.at_client.echoed()]
    }

    async fn end(self) {
        timeout(SOON, self.client.close()).await.unwrap();
        timeout(SOON, self.server.shutdown()).await.unwrap();
        self.relay.abort();
    }
}

/// Makes a call that is cut off behind `bytes` bytes from this end. False if the call was over before.
async fn is_cut(call: Call, from: From, bytes: usize) -> bool {
    let pair = Pair::begin().await;
    // By then each end knows that the other one knows of the session.
    pair.call(Call::Ask).await;
    let (session, ran) = (pair.client.session(), pair.ran());
    let at_server = pair.server.sessions().iter().next().unwrap();
    *pair.cut.lock().unwrap() = Some((from, bytes));
    pair.call(call).await;
    let ran = [0, 1].map(|end| pair.ran()[end] - ran[end]);
    let once = match call {
        Call::Echo => [1, 0],
        Call::Ask => [0, 1],
    };
    assert_eq!(ran, once, "{call:?} is cut behind {bytes} bytes from {from:?}");
    let is_cut = pair.cut.lock().unwrap().take().is_none();
    if is_cut {
        until("the session has gone on", || session.link_changes() == 2).await;
    }
    let same = |session: &Session, other: &Session| session.id() == other.id();
    assert!(same(&session, &pair.client.session()) && pair.server.sessions().iter().all(|it| same(&it, &at_server)));
    // It is served on.
    pair.call(Call::Ask).await;
    pair.end().await;
    is_cut
}

/// Cuts at each byte.
pub(crate) async fn run(place: &Place) {
    let mut before = None;
    for call in [Call::Echo, Call::Ask] {
        for from in [From::Client, From::Server] {
            let mut bytes = 0;
            while place.beside(&format!("{call:?}, {from:?}, {bytes}"), is_cut(call, from, bytes)).await {
                bytes += 1;
                // What the process keeps is made by the first ones.
                before.get_or_insert_with(|| place.memory().held);
            }
            assert!(bytes >= LEAST, "{call:?}, {from:?}: {bytes}");
        }
    }
    place.freed("cuts leave nothing", before.unwrap_or_default()).await;
}
