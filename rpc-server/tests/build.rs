//! Settings that cannot work are refused when a server is built. The error says which setting would work.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;

use rpc_server::{BuildError, ListenError, Server, ServerBuilder};

/// Builds the server by `build` and by `listen`, which must fail with the same message.
async fn refused(builder: impl Fn() -> ServerBuilder) -> (BuildError, String) {
    let error = builder().build().unwrap_err();
    match builder().listen("127.0.0.1:0").await.unwrap_err() {
        listen @ ListenError::Build(_) => assert_eq!(listen.to_string(), error.to_string()),
        other => panic!("{other:?}"),
    }
    let said = error.to_string();
    (error, said)
}

#[tokio::test]
async fn origins_that_could_never_match_are_refused() {
    for (wrong, right) in [
        ("https://app.example.com/", "write \"https://app.example.com\""),
        ("https://app.example.com/chat", "write \"https://app.example.com\""),
        ("app.example.com", "write \"https://app.example.com\""),
        ("*", "allow_any_origin"),
        ("https://*.example.com", "allow_any_origin"),
        ("not an origin", "begins with a scheme"),
        ("", "begins with a scheme"),
    ] {
        let (error, said) =
            refused(|| Server::builder().allow_origin("https://good.example").allow_origin(wrong)).await;
        assert!(matches!(&error, BuildError::Origin { given, .. } if given == wrong), "{error:?}");
        assert!(error.source().is_none());
        for part in ["ServerBuilder::allow_origin", &format!("{wrong:?}"), right] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let good = ["https://app.example.com", "http://localhost:3000", "http://[::1]:9000", "null", "file://"];
    assert!(good.into_iter().fold(Server::builder(), ServerBuilder::allow_origin).build().is_ok());
    assert!(Server::builder().allow_any_origin().build().is_ok());
}

#[tokio::test]
async fn caps_that_let_nothing_in_are_refused() {
    let (error, said) = refused(|| Server::builder().max_connections(0)).await;
    assert_eq!(error, BuildError::NoConnections { setting: "max_connections" });
    assert!(said.contains("ServerBuilder::max_connections is 0"), "{said}");
    let (error, said) = refused(|| Server::builder().max_connections_per_address(0)).await;
    assert_eq!(error, BuildError::NoConnections { setting: "max_connections_per_address" });
    assert!(said.contains("1 is the least that works"), "{said}");
    assert!(Server::builder().max_connections(1).max_connections_per_address(1).build().is_ok());
}

#[tokio::test]
async fn a_number_of_headers_that_no_request_or_any_request_has_is_refused() {
    for wrong in [0, 1_001, usize::MAX] {
        let (error, said) = refused(|| Server::builder().max_headers(wrong)).await;
        assert_eq!(error, BuildError::MaxHeaders { given: wrong, most: 1_000 });
        let words = format!("ServerBuilder::max_headers is {wrong}, and must be from 1 to 1000; the default is 100");
        assert_eq!(said, words);
        assert!(error.source().is_none());
    }
    for right in [1, 1_000] {
        assert!(Server::builder().max_headers(right).build().is_ok());
    }
}

#[tokio::test]
async fn limits_that_cannot_work_are_refused() {
    let (error, _) = refused(|| Server::builder().memory(1000)).await;
    assert!(matches!(error, BuildError::Memory { given: 1000, .. }), "{error:?}");
}
