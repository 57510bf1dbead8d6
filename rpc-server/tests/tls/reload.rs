//! Files that change while the server runs.

use std::{fs, path::PathBuf};

use rpc_client::ConnectError;
use rpc_core::{Config, Stub, TlsError};
use rpc_server::Tls;
use rpc_testing::{Authority, Identity};
use tempfile::TempDir;

use super::vault::{VaultClient, connect, join, listen_with, showing, soon, trusting};

/// The files of a server.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(identity: &Identity) -> Self {
        let files = Self { folder: TempDir::new().unwrap() };
        files.write(identity);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, identity: &Identity) {
        fs::write(self.path("cert.pem"), &identity.certificates).unwrap();
        fs::write(self.path("key.pem"), &identity.key).unwrap();
    }

    fn tls(&self) -> Tls {
        Tls::from_pem_files(self.path("cert.pem"), self.path("key.pem")).unwrap()
    }
}

/// The names of the server's certificate, as this client has seen it.
fn seen(vault: &VaultClient) -> Vec<String> {
    let info = vault.session().info();
    info.peer_certificate().unwrap().dns_names().map(str::to_owned).collect()
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_sessions_live_on() {
    let authority = Authority::new("test");
    let files = Files::new(&authority.server(&["localhost", "old"]));
    let tls = files.tls();
    let server = listen_with(tls.clone(), Config::default()).await;
    let client = trusting(&authority);
    let old = join(&server, client.clone()).await;

    files.write(&authority.server(&["localhost", "new"]));
    // A file is read when it is asked for, and not before.
    assert_eq!(seen(&join(&server, client.clone()).await), ["localhost", "old"]);
    tls.clone().reload().unwrap();
    let new = join(&server, client).await;
    assert_eq!(
        (seen(&old), seen(&new)),
        (vec!["localhost".into(), "old".into()], vec!["localhost".into(), "new".into()])
    );
    assert_eq!((old.add(1, 2).await, new.add(3, 4).await), (Ok(3), Ok(7)));
}

#[tokio::test]
async fn a_bad_file_is_an_error_and_changes_nothing() {
    let authority = Authority::new("test");
    let files = Files::new(&authority.server(&["localhost", "old"]));
    let tls = files.tls();
    let server = listen_with(tls.clone(), Config::default()).await;

    let fresh = authority.server(&["localhost", "new"]);
    fs::write(files.path("cert.pem"), &fresh.certificates).unwrap();
    // The certificate is new, its key is not there yet.
    let error = tls.reload().unwrap_err();
    assert!(matches!(error, TlsError::Pem { .. }), "{error}");
    fs::write(files.path("cert.pem"), "").unwrap();
    assert!(matches!(tls.reload().unwrap_err(), TlsError::Pem { .. }));
    fs::remove_file(files.path("cert.pem")).unwrap();
    assert!(matches!(tls.reload().unwrap_err(), TlsError::Read { path, .. } if path == files.path("cert.pem")));

    assert_eq!(seen(&join(&server, trusting(&authority)).await), ["localhost", "old"]);
    files.write(&fresh);
    tls.reload().unwrap();
    assert_eq!(seen(&join(&server, trusting(&authority)).await), ["localhost", "new"]);
}

#[tokio::test]
async fn an_authority_that_is_gone_lets_no_client_in_any_more() {
    let (authority, clients, others) = (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let files = Files::new(&authority.server(&["localhost"]));
    fs::write(files.path("ca.pem"), clients.pem()).unwrap();
    let tls = files.tls().client_ca_file(files.path("ca.pem")).unwrap();
    let server = listen_with(tls.clone(), Config::default()).await;
    // One configuration for all connections, so that the client has a TLS session that it could resume.
    let client = showing(&authority, &clients.client(&[], "urn:one"));
    let old = join(&server, client.clone()).await;

    fs::write(files.path("ca.pem"), others.pem()).unwrap();
    tls.reload().unwrap();
    let error = soon(connect(&server, client)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    let other = join(&server, showing(&authority, &others.client(&[], "urn:two"))).await;
    assert_eq!(other.who().await, Ok((true, vec!["urn:two".to_owned()])));
    assert_eq!(old.who().await, Ok((true, vec!["urn:one".to_owned()])));
}

#[test]
fn what_came_as_bytes_stays() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    let tls = Tls::from_pem(&identity.certificates, &identity.key).unwrap().client_ca(authority.pem()).unwrap();
    tls.reload().unwrap();
}

#[test]
fn debug_shows_files_and_no_keys() {
    let identity = Authority::new("test").server(&["localhost"]);
    let files = Files::new(&identity);
    let shown = format!("{:?}", files.tls().client_ca(Authority::new("clients").pem()).unwrap());
    for part in ["cert.pem", "key.pem", "required"] {
        assert!(shown.contains(part), "{shown}");
    }
    let secret = identity.key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret) && !shown.contains("PRIVATE"), "{shown}");
}
