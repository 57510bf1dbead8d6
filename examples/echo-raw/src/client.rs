//! The clients: one for people, and one for the Autobahn suite.

use std::{error::Error, net::SocketAddr};

use rpc_client::{
    CloseCode,
    raw::{ClientWebSocket, Message},
};

use crate::limits;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Sends a few messages, and prints what comes back.
pub(crate) async fn demo(server: SocketAddr) -> Outcome {
    let mut socket = ClientWebSocket::connect(format!("ws://{server}/")).await?;
    for message in [Message::from("hello"), Message::from("Grüße"), Message::from(vec![1, 2, 3])] {
        socket.send(message.clone()).await?;
        let echoed = socket.recv().await.ok_or("the server has closed the connection")??;
        assert_eq!(echoed, message);
        println!("came back: {echoed:?}");
    }
    socket.close(CloseCode::NORMAL, "done");
    println!("the server says goodbye with {}", socket.closed().await?.code);
    Ok(())
}

/// Runs all cases that an Autobahn server has for a client.
pub(crate) async fn autobahn(url: &str, agent: &str) -> Outcome {
    let url = url.trim_end_matches('/');
    let cases = case_count(url).await?;
    for case in 1..=cases {
        println!("case {case} of {cases}");
        let case = format!("{url}/runCase?case={case}&agent={agent}");
        let mut socket = ClientWebSocket::connect(case).limits(limits()).await?;
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
        // How a case ends is judged by the server.
        let _ = socket.closed().await;
    }
    let socket = ClientWebSocket::connect(format!("{url}/updateReports?agent={agent}")).await?;
    let _ = socket.closed().await;
    Ok(())
}

async fn case_count(url: &str) -> Outcome<u32> {
    let mut socket = ClientWebSocket::connect(format!("{url}/getCaseCount")).await?;
    let message = socket.recv().await.ok_or("the server tells no number of cases")??;
    let text = message.as_text().ok_or("the number of cases is no text")?;
    let cases = text.parse()?;
    let _ = socket.closed().await;
    Ok(cases)
}
