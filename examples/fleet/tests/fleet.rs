//! The operator sees who answers, who is late, who fails, and who comes and goes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use cable::Cable;
use fleet::{Card, Change, ControlClient, Depot, Machine, Operator, Terminal, demo, enroll};
use rpc_client::Connect;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_what_becomes_of_each_device() {
    let mut out = Vec::new();
    timeout(SOON, demo(&mut out)).await.unwrap().unwrap();
    let out = String::from_utf8(out).unwrap();
    let mut rest = &out[..];
    for line in [
        "no device is here",
        "pump-1 has come",
        "pump-2 has come",
        "valve-1 has come",
        "pump-2 is away",
        "Run \"status\" on the devices of site/north, 3 in all? yes",
        "pump-1: well",
        "valve-1: well",
        "… still waiting for pump-2\n",
        "pump-2: well",
        "3 answered, 0 failed",
        "pump-2 is back",
        "Run \"flush\" on the devices of site/north, 3 in all? yes",
        "pump-1: flushed",
        "valve-1 failed: ",
        "pump-2 failed: the pressure is too high",
        "1 answered, 2 failed",
        "valve-1 is gone: ",
        "Run \"status\" on the devices of model/P3, 3 in all? yes",
        "pump-3: well",
        "3 answered, 0 failed",
    ] {
        let (_, after) = rest.split_once(line).unwrap_or_else(|| panic!("{line:?} is missing in:\n{out}"));
        rest = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_switched_on_again_replaces_itself() {
    let server = Depot::server().listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let control = ControlClient::connect(&url).callback(Terminal { show: |_: &str| {} }.serve()).await.unwrap();
    let mut changes = control.watch("all").await.unwrap();
    let mut change = async || timeout(SOON, changes.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(change().await, Change::Present(Vec::new()));

    let device = async |url: &str| {
        let card = Card { name: "pump".to_owned(), site: "north".to_owned(), model: "P3".to_owned() };
        enroll(url, card, Machine { since: Instant::now() }).await.unwrap()
    };
    let cable = Cable::new(server.local_addr()).await.unwrap();
    let _before = device(&format!("ws://{}/", cable.addr())).await;
    assert_eq!(change().await, Change::Came("pump".to_owned()));
    cable.pull();
    assert_eq!(change().await, Change::Away("pump".to_owned()));

    let _after = device(&url).await;
    assert_eq!(change().await, Change::Gone("pump".to_owned(), "it is switched on again".to_owned()));
    assert_eq!(change().await, Change::Came("pump".to_owned()));
}
