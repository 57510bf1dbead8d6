//! The program in a process of its own: how it serves by TLS, and how it ends.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use rpc_client::{CloseCode, Connect, Stub, raw::ClientWebSocket};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use web_app::{BoardClient, BoardEvents, Http, Note};

/// Long beyond anything that should happen.
const SOON: Duration = Duration::from_secs(60);

struct Program {
    child: Child,
    addr: SocketAddr,
}

impl Program {
    async fn start(options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_web-app"));
        command.args(["--port", "0"]).args(options).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the program serves before it ends");
                if let Some((_, rest)) = line.split_once("://localhost:") {
                    return rest.split('/').next().unwrap().parse::<u16>().unwrap();
                }
            }
        };
        let port = timeout(SOON, port).await.unwrap();
        // A program whose output has no reader fails at its last line.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, addr: ([127, 0, 0, 1], port).into() }
    }

    async fn terminate(&self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().await.unwrap().success());
    }

    async fn gone(mut self) {
        assert!(timeout(SOON, self.child.wait()).await.expect("the process ends").unwrap().success());
    }
}

struct Deaf;

impl BoardEvents for Deaf {
    async fn posted(&self, _: &Note) {}
    async fn removed(&self, _: u64) {}
}

/// A page and a program of Ada, who has logged in.
async fn clients(addr: SocketAddr) -> (ClientWebSocket, BoardClient) {
    let answer = Http::new(addr, None).unwrap().post("/login", "", "name=ada&password=lovelace").await.unwrap();
    let cookie = answer.cookie().unwrap();
    let page = ClientWebSocket::connect(format!("ws://{addr}/live")).header("cookie", cookie).await.unwrap();
    let url = format!("ws://{addr}/rpc");
    (page, BoardClient::connect(url).header("cookie", cookie).callback(Deaf.serve()).await.unwrap())
}

async fn ready(addr: SocketAddr) -> u16 {
    timeout(SOON, Http::new(addr, None).unwrap().get("/readyz", "")).await.unwrap().unwrap().status
}

async fn says_restart(page: &mut ClientWebSocket, board: &BoardClient) {
    assert_eq!(timeout(SOON, page.closed()).await.unwrap().unwrap().code, CloseCode::RESTART);
    let reason = timeout(SOON, board.session().closed()).await.unwrap();
    assert!(reason.to_string().contains("1012"), "{reason}");
}

#[tokio::test]
async fn a_signal_drains_pages_and_programs() {
    let program = Program::start(&[]).await;
    let (mut page, board) = clients(program.addr).await;
    assert_eq!(board.post("I stay.").await, Ok(1));
    program.terminate().await;
    says_restart(&mut page, &board).await;
    program.gone().await;
}

#[tokio::test]
async fn the_program_is_red_before_it_drains() {
    let program = Program::start(&["--drain-delay", "3600"]).await;
    let addr = program.addr;
    let (mut page, board) = clients(addr).await;
    assert_eq!(ready(addr).await, 200);
    program.terminate().await;
    let red = async {
        while ready(addr).await != 503 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, red).await.unwrap();
    assert_eq!(board.post("I am served still.").await, Ok(1));
    // The second signal ends the hour of waiting.
    program.terminate().await;
    says_restart(&mut page, &board).await;
    program.gone().await;
}

#[tokio::test]
async fn a_request_that_never_ends_holds_up_no_end() {
    let program = Program::start(&[]).await;
    let _silent = TcpStream::connect(program.addr).await.unwrap();
    let mut half = TcpStream::connect(program.addr).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // By then the program has accepted the two.
    assert_eq!(ready(program.addr).await, 200);
    program.terminate().await;
    program.gone().await;
}

#[tokio::test]
async fn it_serves_by_tls_with_an_authority_of_its_own_or_with_pem_files() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("web-app-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name));

    let program = Program::start(&["--self-signed", text(&ca)]).await;
    assert_eq!(health(program.addr, &fs::read_to_string(&ca).unwrap()).await, 200);
    program.terminate().await;
    program.gone().await;

    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&cert, own.cert.pem()).unwrap();
    fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let program = Program::start(&["--cert", text(&cert), "--key", text(&key)]).await;
    assert_eq!(health(program.addr, &own.cert.pem()).await, 200);
    fs::remove_dir_all(folder).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn health(addr: SocketAddr, authority: &str) -> u16 {
    let https = Http::new(addr, Some(authority)).unwrap();
    timeout(SOON, https.get("/healthz", "")).await.unwrap().unwrap().status
}
