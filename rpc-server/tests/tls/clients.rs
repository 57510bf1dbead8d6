//! The certificates of clients.

use rpc_client::ConnectError;
use rpc_core::Config;
use rpc_testing::{Authority, Identity};

use super::vault::{connect, join, listen_with, of, showing, soon, trusting};

const URI: &str = "spiffe://example.com/billing";

struct Town {
    authority: Authority,
    /// Issues the certificates of clients.
    clients: Authority,
    server: Identity,
}

fn town() -> Town {
    let authority = Authority::new("servers");
    let server = authority.server(&["localhost"]);
    Town { authority, clients: Authority::new("clients"), server }
}

#[tokio::test]
async fn a_required_certificate_is_asked_for_and_its_names_reach_handlers() {
    let Town { authority, clients, server } = town();
    let server = listen_with(of(&server).client_ca(clients.pem()).unwrap(), Config::default()).await;
    let billing = clients.client(&["billing.example.com"], URI);
    let vault = join(&server, showing(&authority, &billing)).await;
    assert_eq!(vault.who().await, Ok((true, vec![URI.to_owned(), "billing.example.com".to_owned()])));

    let session = server.sessions().iter().next().unwrap();
    let info = session.info();
    let der = info.peer_certificate().unwrap().der();
    assert!(!der.is_empty() && format!("{info:?}").contains(URI));

    let error = soon(connect(&server, trusting(&authority))).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Tls { why, .. } if why.contains("requires a client certificate")),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_optional_certificate_may_be_left_out_and_not_be_wrong() {
    let Town { authority, clients, server } = town();
    // The order of the two does not matter.
    let first = of(&server).client_certificates_optional().client_ca(clients.pem()).unwrap();
    let second = of(&server).client_ca(clients.pem()).unwrap().client_certificates_optional();
    for tls in [first, second] {
        let server = listen_with(tls, Config::default()).await;
        assert_eq!(join(&server, trusting(&authority)).await.who().await, Ok((true, vec![])));
        let vault = join(&server, showing(&authority, &clients.client(&[], URI))).await;
        assert_eq!(vault.who().await, Ok((true, vec![URI.to_owned()])));
        let stranger = Authority::new("others").client(&[], URI);
        let error = soon(connect(&server, showing(&authority, &stranger))).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Tls { why, .. } if why.contains("does not accept")), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_a_wrong_authority_or_purpose_is_turned_away() {
    let Town { authority, clients, server } = town();
    let server = listen_with(of(&server).client_ca(clients.pem()).unwrap(), Config::default()).await;
    let stranger = Authority::new("clients").client(&[], URI);
    let wrong_purpose = clients.server(&["localhost"]);
    for identity in [stranger, wrong_purpose] {
        let error = soon(connect(&server, showing(&authority, &identity))).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Tls { why, .. } if why.contains("does not accept")), "{error:?}");
    }
    assert!(server.sessions().is_empty());
}

#[tokio::test]
async fn no_client_is_asked_where_no_authority_is_named() {
    let Town { authority, clients, server } = town();
    let server = listen_with(of(&server).client_certificates_optional(), Config::default()).await;
    let vault = join(&server, showing(&authority, &clients.client(&[], URI))).await;
    assert_eq!(vault.who().await, Ok((true, vec![])));
}
