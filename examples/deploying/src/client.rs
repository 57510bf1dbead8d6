//! The client, which tells what it sees of a server or of a proxy before it.

use std::net::SocketAddr;

use rpc_client::{Connect, Stub, Tls};
use tokio::net::TcpSocket;

use crate::{
    Call, Outcome,
    contract::{DeskClient, Visitor},
};

struct Ada;

impl Visitor for Ada {
    async fn name(&self, _question: &str) -> String {
        "Ada".to_owned()
    }
}

/// Opens a session, and prints what comes until the server has drained.
pub(crate) async fn call(options: Call) -> Outcome {
    let socket = if options.at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = options.from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(options.at).await?;
    let mut connecting = DeskClient::connect(options.url).callback(Ada.serve()).over(stream);
    if let Some(authority) = options.ca {
        connecting = connecting.tls(Tls::builder().ca_file(authority).build()?);
    }
    let desk = connecting.await?;
    println!("the server sees {}", desk.address().await?);
    println!("the last word is {}", desk.last_word().await?);
    let ended = desk.session().closed().await;
    println!("the session ended: {}", if ended.is_shut_down() { "shut down" } else { "otherwise" });
    Ok(())
}
