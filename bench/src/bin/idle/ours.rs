//! Sessions of Duplex RPC.

use common::{Outcome, announce};
use rpc_client::{Connect, Reconnect};
use rpc_server::{ListenOptions, Server};

use crate::{FIRST, part::Questions};

#[rpc_core::service]
trait Counter {
    async fn next(&self, number: u64) -> u64;
}

struct Plain;

impl Counter for Plain {
    async fn next(&self, number: u64) -> u64 {
        number + 1
    }
}

pub(crate) async fn serve(identity: Option<(String, String)>, connections: usize) -> Outcome<()> {
    let most = FIRST + connections;
    let server = Server::builder().service(Plain.serve());
    let server = server.max_connections(most).max_connections_per_address(most).build()?;
    let options = match identity {
        None => ListenOptions::new(),
        Some((certificate, key)) => ListenOptions::new().tls(rpc_server::Tls::from_pem(certificate, key)?),
    };
    let listener = server.listen_with("127.0.0.1:0", options).await?;
    announce(listener.local_addr())?;
    Questions.until_end().await
}

pub(crate) async fn call(addr: &str, certificate: Option<String>) -> Outcome<()> {
    let tls = certificate.map(|certificate| rpc_client::Tls::builder().ca(certificate).build()).transpose()?;
    let url = format!("{}://{addr}/", if tls.is_some() { "wss" } else { "ws" });
    let open = move || {
        // As the peer beside it, the client does not connect again.
        let mut connecting = CounterClient::connect(&url).reconnect(Reconnect::never());
        if let Some(tls) = &tls {
            connecting = connecting.tls(tls.clone());
        }
        async move {
            let counter = connecting.await?;
            assert_eq!(counter.next(1).await?, 2);
            Outcome::Ok(counter)
        }
    };
    Questions.hold(open).await
}
