//! The server: sessions at `/rpc`, raw WebSockets at `/echo`, health at `/healthz` and `/readyz`.

use std::net::SocketAddr;

use rpc_server::{
    Context, ListenOptions, Server, Status, Tls,
    raw::{RawSocket, websocket},
};

use crate::{
    Outcome, Serve,
    contract::{Desk, VisitorClient},
};

/// An address without its port, which proxies for HTTP do not tell.
fn host(addr: Option<SocketAddr>) -> String {
    addr.map_or_else(String::new, |addr| addr.ip().to_string())
}

struct Clerk;

impl Desk for Clerk {
    async fn address(&self, cx: &Context<VisitorClient>) -> Result<String, Status> {
        let name = cx.peer().name("Who is there?").await?;
        Ok(format!("{name} at {}", host(cx.peer_addr())))
    }

    async fn last_word(&self, cx: &Context<VisitorClient>) -> String {
        println!("a client waits for the last word");
        cx.session().draining().await;
        "goodbye".to_owned()
    }
}

/// Says which address the client has, then echoes.
async fn echo(mut socket: RawSocket) {
    let address = host(socket.connection().peer_addr());
    if socket.send(address).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Serves until SIGTERM or Ctrl-C, and drains then.
pub(crate) async fn serve(options: Serve) -> Outcome {
    let server = Server::builder()
        .service(Clerk.serve())
        .path("/rpc")
        .route("/echo", websocket(echo))
        .health_routes()
        .trusted_proxies(options.trust)
        .build()?;
    let http = server.listen(options.listen).await?;
    println!("http {}", http.local_addr());

    let mut tls = match (options.certificate, options.key) {
        (Some(certificate), Some(key)) => Some(Tls::from_pem_files(certificate, key)?),
        _ => None,
    };
    if let Some(authorities) = options.client_ca {
        tls = tls.map(|tls| tls.client_ca_file(authorities)).transpose()?;
    }

    let mut listeners = vec![http];
    if let Some(addr) = options.listen_proxy {
        // The proxy passes bytes on: if they are to be private, this end does the TLS.
        let mut how = ListenOptions::new().proxy_protocol(true);
        if let Some(tls) = &tls {
            how = how.tls(tls.clone());
        }
        let listener = server.listen_with(addr, how).await?;
        println!("proxy {}", listener.local_addr());
        listeners.push(listener);
    }
    if let (Some(addr), Some(tls)) = (options.listen_tls, tls) {
        let listener = server.listen_tls(addr, tls).await?;
        println!("tls {}", listener.local_addr());
        listeners.push(listener);
    }

    println!("ready");
    server.shutdown_on_signal().await;
    println!("drained");
    Ok(())
}
