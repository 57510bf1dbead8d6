//! `Relay`: what the proxies of these tests share.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rpc_client::Proxy;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

/// A proxy on a port of its own, which keeps what it is asked.
pub(super) struct Relay<T> {
    scheme: &'static str,
    pub(super) addr: SocketAddr,
    asked: Arc<Mutex<Vec<T>>>,
}

impl<T: Clone + Send + 'static> Relay<T> {
    /// A proxy of `http` or `socks5`. It serves each client with `serve`, which keeps what the client asks, and then
    /// leads the client to the address. Without an address, the connection ends.
    pub(super) async fn start<F>(
        scheme: &'static str,
        to: Option<SocketAddr>,
        serve: impl Fn(TcpStream, Arc<Mutex<Vec<T>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = TcpStream> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<T>>>::default());
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let served = serve(client, Arc::clone(&kept));
                tokio::spawn(async move {
                    let mut client = served.await;
                    if let Some(to) = to {
                        let mut server = TcpStream::connect(to).await.unwrap();
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { scheme, addr, asked }
    }

    pub(super) fn proxy(&self) -> Proxy {
        self.written("")
    }

    pub(super) fn proxy_with_password(&self) -> Proxy {
        self.written("Aladdin:open%20sesame@")
    }

    fn written(&self, user: &str) -> Proxy {
        let url = format!("{}://{user}{}", self.scheme, self.addr);
        if self.scheme == "http" { Proxy::http(&url) } else { Proxy::socks5(&url) }.unwrap()
    }

    pub(super) fn asked(&self) -> Vec<T> {
        self.asked.lock().unwrap().clone()
    }
}
