//! Contract crate, server and client, each with one dependency of ours, talk to each other.

use rpc_server::Server;

#[tokio::test]
async fn server_and_client_share_a_contract_crate() {
    let server = one_server::start().await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    assert_eq!(one_client::greeted(&url).await.unwrap(), ("Hello, Ada!".to_owned(), 3));
    assert_eq!(one_client::hour(&url).await.unwrap(), 12);
    server.shutdown().await;
}

#[rpc_server::service(name = "Clock")]
trait OwnClock {
    async fn hour(&self) -> u8;
}

struct Sundial;

impl OwnClock for Sundial {
    async fn hour(&self) -> u8 {
        7
    }
}

#[tokio::test]
async fn a_test_names_the_crate_that_tests_alone_have() {
    let server = Server::builder().service(Sundial.serve()).listen("127.0.0.1:0").await.unwrap();
    assert_eq!(one_client::hour(&format!("ws://{}/", server.local_addr())).await.unwrap(), 7);
    server.shutdown().await;
}
