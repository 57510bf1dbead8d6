//! Servers in processes of their own: the test program starts itself again, with the name of one test.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{env, net::SocketAddr, process::Stdio, time::Duration};

use rpc_testing::{Identity, SOON};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::transport::Transport;

/// Says to the child which server it is.
const KIND: &str = "RPC_SERVER_CHILD_KIND";
/// The certificates and the key of a child that does TLS.
const CERTIFICATES: &str = "RPC_SERVER_CHILD_CERTIFICATES";
const KEY: &str = "RPC_SERVER_CHILD_KEY";
/// Precedes the address in what the child prints.
const LISTENING: &str = "listening at ";
/// A process must be gone by then.
pub(crate) const GONE: Duration = Duration::from_secs(30);

/// Which server this process is to be; `None` in the process of the tests.
pub(crate) fn kind() -> Option<String> {
    env::var(KIND).ok()
}

/// The transport of this process's server.
pub(crate) fn transport() -> Transport {
    let identity =
        env::var(CERTIFICATES).ok().map(|certificates| Identity { certificates, key: env::var(KEY).unwrap() });
    Transport::of_server(identity)
}

/// Tells the parent where the child listens.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn say(addr: SocketAddr) {
    println!("{LISTENING}{addr}");
}

/// Starts a server in a process of its own: the test `child`. `descriptors` is how many files and sockets it may
/// have open.
pub(crate) async fn start(kind: &str, descriptors: usize, transport: &Transport) -> (Child, SocketAddr) {
    let mut child = Command::new("sh")
        .args(["-c", &format!(r#"ulimit -n {descriptors} && exec "$0" "$@""#)])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(KIND, kind)
        .envs(transport.identity().into_iter().flat_map(|own| [(CERTIFICATES, &own.certificates), (KEY, &own.key)]))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the child listens before it ends");
            if let Some((_, addr)) = line.split_once(LISTENING) {
                return addr.parse().unwrap();
            }
        }
    };
    let addr = timeout(SOON, addr).await.unwrap();
    // A child whose output has no reader fails at its last line.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, addr)
}

pub(crate) async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
}

pub(crate) async fn gone(mut child: Child) {
    let status = timeout(GONE, child.wait()).await.expect("the process ends").unwrap();
    assert!(status.success(), "{status}");
}
