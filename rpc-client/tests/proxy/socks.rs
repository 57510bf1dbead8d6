//! A client that reaches its server through a SOCKS5 proxy (RFC 1928 and 1929).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rpc_client::{Client, Config, ConnectError, Proxy, connect};
use rpc_testing::SOON;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{HOST, listen, through, why};
use crate::{adder::adds, relay::Relay};

const GREETING: &[u8] = &[5, 1, 0];
const GREETING_WITH_PASSWORD: &[u8] = &[5, 2, 0, 2];
const LOGIN: &[u8] = b"\x01\x07Aladdin\x0bopen sesame";
const GRANTED: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0x12, 0x34];

/// What a proxy reads, and what it then answers.
type Step = (Vec<u8>, &'static [u8]);

fn step(read: &[u8], answer: &'static [u8]) -> Step {
    (read.to_vec(), answer)
}

/// The request for the server's name at port 80.
fn request() -> Vec<u8> {
    let name = [&[5, 1, 0, 3, u8::try_from(HOST.len()).unwrap()], HOST.as_bytes()].concat();
    [name.as_slice(), &[0, 80]].concat()
}

/// A proxy that goes through these steps with each client, and then leads the client to the address.
async fn socks_proxy(steps: Vec<Step>, to: Option<SocketAddr>) -> Relay<Vec<u8>> {
    let serve = move |mut socket: TcpStream, asked: Arc<Mutex<Vec<Vec<u8>>>>| {
        let steps = steps.clone();
        async move {
            for (expected, answer) in steps {
                let mut bytes = vec![0; expected.len()];
                socket.read_exact(&mut bytes).await.unwrap();
                asked.lock().unwrap().push(bytes);
                // A byte at a time, as a slow network may bring them.
                for byte in answer {
                    socket.write_all(&[*byte]).await.unwrap();
                }
            }
            socket
        }
    };
    Relay::start("socks5", to, serve).await
}

#[tokio::test]
async fn a_session_goes_through_a_proxy_which_resolves_the_name() {
    let server = listen().await;
    // The proxy names the address from which it has connected in any of three ways.
    let named: &[u8] = &[5, 0, 0, 3, 2, b'a', b'b', 0, 1];
    let six: &[u8] = &[5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
    for granted in [GRANTED, named, six] {
        let steps = vec![step(GREETING, &[5, 0]), step(&request(), granted)];
        let socks = socks_proxy(steps, Some(server.local_addr())).await;
        let client = through(socks.proxy()).await.unwrap();
        adds(&client).await;
        assert_eq!(client.session().peer_addr(), None);
        assert_eq!(socks.asked(), [GREETING.to_vec(), request()]);
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_goes_through_a_proxy() {
    use rpc_server::Server;

    use crate::adder::{Adder, Sum};

    let authority = rpc_testing::Authority::new("proxied");
    let identity = authority.server(&["127.0.0.1"]);
    let tls = rpc_server::Tls::from_pem(&identity.certificates, &identity.key).unwrap();
    let server = Server::builder().service(Sum.serve()).listen_tls("127.0.0.1:0", tls).await.unwrap();
    let asked = [5, 1, 0, 1, 127, 0, 0, 1, 1, 187];
    let steps = vec![step(GREETING, &[5, 0]), step(&asked, GRANTED)];
    let socks = socks_proxy(steps, Some(server.local_addr())).await;
    let tls = rpc_client::Tls::builder().ca(authority.pem()).build().unwrap();
    let client = timeout(SOON, connect("wss://127.0.0.1/").proxy(socks.proxy()).tls(tls)).await.unwrap().unwrap();
    adds(&client).await;
    assert_eq!(socks.asked()[1], asked);
}

#[tokio::test]
async fn an_ipv6_address_is_asked_for_as_such() {
    let server = listen().await;
    let asked = [5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x23, 0x28];
    let steps = vec![step(GREETING, &[5, 0]), step(&asked, GRANTED)];
    let socks = socks_proxy(steps, Some(server.local_addr())).await;
    let client = timeout(SOON, connect("ws://[2001:db8::7]:9000/").proxy(socks.proxy())).await.unwrap().unwrap();
    adds(&client).await;
    assert_eq!(socks.asked()[1], asked);
}

#[tokio::test]
async fn a_proxy_is_shown_the_password_if_it_asks_for_it() {
    let server = listen().await;
    let with = vec![step(GREETING_WITH_PASSWORD, &[5, 2]), step(LOGIN, &[1, 0]), step(&request(), GRANTED)];
    let without = vec![step(GREETING_WITH_PASSWORD, &[5, 0]), step(&request(), GRANTED)];
    for (steps, last) in [(with, 2), (without, 1)] {
        let socks = socks_proxy(steps, Some(server.local_addr())).await;
        adds(&through(socks.proxy_with_password()).await.unwrap()).await;
        assert_eq!(socks.asked()[last], request());
        assert_eq!(socks.asked().contains(&LOGIN.to_vec()), last == 2);
        assert!(!format!("{:?}", socks.proxy_with_password()).contains("sesame"));
    }
}

/// The failure with a proxy that goes through these steps, with or without a password in its URL.
async fn failure(steps: Vec<Step>, has_password: bool) -> (String, bool) {
    let socks = socks_proxy(steps, None).await;
    let proxy = if has_password { socks.proxy_with_password() } else { socks.proxy() };
    let failed: Result<Client, ConnectError> = through(proxy).await;
    why(failed, socks.addr)
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let logins: [(Vec<Step>, bool, &str); 5] = [
        (vec![step(GREETING, &[5, 0xff])], false, "write socks5://user:password@host:port"),
        (vec![step(GREETING_WITH_PASSWORD, &[5, 0xff])], true, "takes no user name"),
        (vec![step(GREETING_WITH_PASSWORD, &[5, 2]), step(LOGIN, &[1, 1])], true, "does not accept this user name"),
        (vec![step(GREETING_WITH_PASSWORD, &[5, 2]), step(LOGIN, &[7, 0])], true, "RFC 1929"),
        (vec![step(GREETING, &[5, 2])], false, "not offered"),
    ];
    for (steps, has_password, word) in logins {
        let (text, retryable) = failure(steps, has_password).await;
        assert!(text.contains(word) && !retryable, "{text}");
    }
    let answers: [(&'static [u8], bool, &str); 7] = [
        (&[5, 2, 0, 1], false, "does not allow"),
        (&[5, 4, 0, 1], true, "cannot reach the server"),
        (&[5, 5, 0, 1], true, "nothing listens"),
        (&[5, 8, 0, 1], false, "addresses of this kind"),
        (&[5, 99, 0, 1], false, "does not know"),
        (&[5, 0, 0, 9], false, "does not know"),
        (&[5, 0, 0, 1, 127], true, "ended the connection"),
    ];
    for (answer, is_temporary, word) in answers {
        let (text, retryable) = failure(vec![step(GREETING, &[5, 0]), step(&request(), answer)], false).await;
        assert!(text.contains(word) && retryable == is_temporary, "{answer:?}: {text}");
    }
}

#[tokio::test]
async fn what_does_not_speak_socks5_is_named() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..2], &[4, 0]] {
        let (text, retryable) = failure(vec![step(GREETING, answer)], false).await;
        assert!(text.contains("does not speak SOCKS5") && !retryable, "{text}");
    }
    let (text, retryable) = failure(vec![step(GREETING, &[])], false).await;
    assert!(text.contains("ended the connection") && retryable, "{text}");
}

#[tokio::test]
async fn a_silent_proxy_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let proxy = Proxy::socks5(&format!("socks5://{addr}")).unwrap();
    let config = Config::builder().upgrade_timeout(Duration::from_millis(100)).build().unwrap();
    let silent = timeout(SOON, connect(format!("ws://{HOST}/")).proxy(proxy).config(config)).await.unwrap();
    let (text, retryable) = why(silent, addr);
    assert!(text.contains("no tunnel within 100ms") && retryable, "{text}");
}

#[tokio::test]
async fn a_host_that_the_protocol_cannot_name_is_an_error() {
    let socks = socks_proxy(Vec::new(), None).await;
    let url = format!("ws://{}.invalid/", "a".repeat(250));
    let (text, retryable) = why(timeout(SOON, connect(url).proxy(socks.proxy())).await.unwrap(), socks.addr);
    assert!(text.contains("too long") && !retryable, "{text}");
}
