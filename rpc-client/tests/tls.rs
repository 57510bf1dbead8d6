//! What a person is told when TLS does not come about, and what a client trusts.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adder;

use std::{fs, io, time::Duration};

use rpc_client::{Client, Config, ConnectError, Tls, TlsError, connect};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Authority, Identity, SOON};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

use adder::{Adder, Sum, adds};

async fn listen(identity: &Identity) -> ServerHandle {
    let tls = rpc_server::Tls::from_pem(&identity.certificates, &identity.key).unwrap();
    Server::builder().service(Sum.serve()).listen_tls("127.0.0.1:0", tls).await.unwrap()
}

fn trusting(authority: &Authority) -> Tls {
    Tls::builder().ca(authority.pem()).build().unwrap()
}

async fn join(server: &ServerHandle, tls: Tls) -> Result<Client, ConnectError> {
    let url = format!("wss://localhost:{}/", server.local_addr().port());
    timeout(SOON, connect(url).tls(tls)).await.unwrap()
}

/// Why there is no TLS. Panics if the text lacks one of the words.
#[track_caller]
fn why<T>(connected: Result<T, ConnectError>, words: &[&str]) {
    match connected {
        Err(error @ ConnectError::Tls { .. }) => {
            let shown = error.to_string();
            for word in words {
                assert!(shown.contains(word), "{word:?} is missing in: {shown}");
            }
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("connected"),
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_taken() {
    let authority = Authority::new("test");
    let server = listen(&authority.server(&["rpc.example.com", "*.example.org", "192.0.2.1"])).await;
    let words = ["not for localhost", "rpc.example.com, *.example.org, 192.0.2.1", "server_name"];
    why(join(&server, trusting(&authority)).await, &words);

    for name in ["rpc.example.com", "any.example.org", "192.0.2.1"] {
        let tls = Tls::builder().ca(authority.pem()).server_name(name).build().unwrap();
        adds(&join(&server, tls).await.unwrap()).await;
    }
    let other = Tls::builder().ca(authority.pem()).server_name("other.example.com").build().unwrap();
    why(join(&server, other).await, &["not for other.example.com"]);

    let many: Vec<_> = (0..100).map(|n| format!("{n}.example.com")).collect();
    let server = listen(&authority.server(&many.iter().map(String::as_str).collect::<Vec<_>>())).await;
    why(join(&server, trusting(&authority)).await, &["0.example.com, 1.example.com", "95 more"]);
    let server = listen(&authority.server(&[])).await;
    why(join(&server, trusting(&authority)).await, &["no name at all"]);
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_said_to_be_so() {
    let authority = Authority::new("test");
    let server = listen(&authority.server(&["localhost"])).await;
    why(join(&server, trusting(&Authority::new("other"))).await, &["authority that is not trusted", "ca_file"]);
    // The authority has the right name and another key.
    why(join(&server, trusting(&Authority::new("test"))).await, &["authority"]);
    // The certificate in between is not sent.
    let mut incomplete = authority.below("between").server(&["localhost"]);
    incomplete.certificates.truncate(incomplete.certificates.find("-----END").unwrap());
    incomplete.certificates.push_str("-----END CERTIFICATE-----\n");
    let server = listen(&incomplete).await;
    why(join(&server, trusting(&authority)).await, &["the certificates in between"]);
}

#[tokio::test]
async fn several_authorities_may_be_trusted() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::write(&path, first.pem()).unwrap();
    let both = Tls::builder().ca_file(&path).ca(second.pem()).build().unwrap();
    for authority in [first, second] {
        let server = listen(&authority.server(&["localhost"])).await;
        adds(&join(&server, both.clone()).await.unwrap()).await;
    }
}

#[tokio::test]
async fn an_expired_certificate_is_said_to_be_so() {
    let authority = Authority::new("test");
    let server = listen(&authority.expired(&["localhost"])).await;
    why(join(&server, trusting(&authority)).await, &["has expired", "days ago", "clock"]);
}

#[tokio::test]
async fn the_certificate_of_an_authority_is_no_servers() {
    let authority = Authority::new("test");
    let server = listen(&authority.as_server()).await;
    why(join(&server, trusting(&authority)).await, &["the certificate of an authority", "one of its own"]);
}

#[tokio::test]
async fn a_clients_certificate_is_no_servers() {
    let authority = Authority::new("test");
    let server = listen(&authority.client(&["localhost"], "urn:client")).await;
    why(join(&server, trusting(&authority)).await, &["not made for servers", "serverAuth"]);
}

#[tokio::test]
async fn the_other_scheme_is_named_where_it_is_meant() {
    let authority = Authority::new("test");
    let plain = Server::builder().service(Sum.serve()).listen("127.0.0.1:0").await.unwrap();
    why(join(&plain, trusting(&authority)).await, &["does not speak TLS", "ws://"]);
    let server = listen(&authority.server(&["localhost"])).await;
    let without = timeout(SOON, connect(format!("ws://{}/", server.local_addr()))).await.unwrap();
    why(without, &["expects TLS", "wss://"]);
}

#[tokio::test]
async fn tls_with_a_url_that_is_not_encrypted_is_refused_before_anything_is_dialled() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let error = connect(&url).tls(trusting(&Authority::new("test"))).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Url { url: named, why } if *named == url && why.contains("wss://")));
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn without_a_choice_the_platform_is_asked() {
    let server = listen(&Authority::new("test").server(&["localhost"])).await;
    let url = format!("wss://localhost:{}/", server.local_addr().port());
    // A machine without any authority cannot verify a certificate; each other one does not know this authority.
    let none = Tls::platform().is_err();
    let words = if none { "the authorities that this machine trusts" } else { "authority that is not trusted" };
    why(timeout(SOON, connect(url)).await.unwrap(), &[words]);
}

#[tokio::test]
async fn a_server_that_hangs_up_or_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let tls = trusting(&Authority::new("test"));
    let hang_up = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // It has read the ClientHello, so that dropping it is no reset.
        stream.read_buf(&mut Vec::with_capacity(64 * 1024)).await.unwrap();
    };
    let (ended, ()) = tokio::join!(timeout(SOON, connect(&url).tls(tls.clone())), hang_up);
    let error = ended.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Ended { .. }), "{error:?}");

    let config = Config::builder().upgrade_timeout(Duration::from_millis(100)).build().unwrap();
    let error = timeout(SOON, connect(&url).tls(tls).config(config)).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { reached: Some(_), .. }), "{error:?}");
}

#[test]
fn what_cannot_be_used_is_refused_when_it_is_built() {
    let identity = Authority::new("test").client(&[], "urn:client");
    let error = Tls::builder().ca_file("/no/such/ca.pem").build().unwrap_err();
    assert!(matches!(&error, TlsError::Read { path, .. } if path.ends_with("ca.pem")), "{error}");
    let error = Tls::builder().ca(&identity.key).build().unwrap_err();
    assert!(error.to_string().contains("given as ca") && error.to_string().contains("PRIVATE KEY"), "{error}");
    let error = Tls::builder().client_certificate(&identity.key, &identity.certificates).build().unwrap_err();
    assert!(matches!(error, TlsError::Pem { .. }), "{error}");
    let error = Tls::builder().ca(&identity.certificates).server_name("no name").build().unwrap_err();
    assert!(matches!(&error, TlsError::ServerName { name } if name == "no name"), "{error}");
}

#[test]
fn debug_shows_no_keys() {
    let authority = Authority::new("test");
    let identity = authority.client(&[], "urn:client");
    let builder = Tls::builder().ca_file("ca.pem").client_certificate(&identity.certificates, &identity.key);
    let shown = format!("{builder:?}");
    let tls = Tls::builder().ca(authority.pem()).client_certificate(&identity.certificates, &identity.key);
    let shown = format!("{shown} {:?}", tls.server_name("rpc.example.com").build().unwrap());
    assert!(shown.contains("ca.pem") && shown.contains("rpc.example.com"), "{shown}");
    let secret = identity.key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret) && !shown.contains("PRIVATE") && shown.len() < 400, "{shown}");
}
