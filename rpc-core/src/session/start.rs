//! How a client's session begins, and what both ends begin with.

use std::sync::Arc;

use bytes::Bytes;

use super::{Driver, Transport};
use crate::{
    config::Config,
    credential::Credential,
    peer::{ConnectionInfo, Facts, Session, SessionId, SessionShared, now},
    proto::Connection,
    service::Hosting,
};

/// Begins the client's end of a session over a transport that is open. The driver is a future that does all the work:
/// spawn it. The session is open once it has got the server's Welcome; see [`Session::established`]. The server's end
/// begins with a [`Handshake`](super::Handshake).
///
/// # Panics
///
/// Outside a tokio runtime that has its time enabled.
pub fn connect(
    transport: impl Transport,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> (Session, Driver) {
    let id = SessionId::next();
    let connection = new_client(id, hosting, config);
    begin(transport.boxed(), id, connection, hosting, config, info)
}

/// As [`connect`], for a client that shows a credential in its Hello. A credential that is
/// [not sent there](Credential::is_in_hello) is ignored.
///
/// # Panics
///
/// As [`connect`].
pub fn connect_as(
    credential: &Credential,
    transport: impl Transport,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> (Session, Driver) {
    let id = SessionId::next();
    let mut connection = new_client(id, hosting, config);
    if credential.is_in_hello() {
        connection.show(credential.expose());
    }
    begin(transport.boxed(), id, connection, hosting, config, info)
}

fn new_client(id: SessionId, hosting: &Hosting, config: &Config) -> Connection {
    let mut connection = Connection::client(id.number(), config.clone(), hosting.announced(), now());
    let resumability = config.resumability();
    if !resumability.window.is_zero() {
        connection.make_resumable(resumability, Bytes::new());
    }
    connection
}

/// Puts a session together around its connection.
pub(super) fn begin(
    transport: Box<dyn Transport>,
    id: SessionId,
    mut connection: Connection,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> (Session, Driver) {
    if let Some(pool) = hosting.memory() {
        connection.join_pool(pool);
    }
    let facts = Facts::new(id, info);
    connection.expire_at(facts.expires());
    let shared = Arc::new(SessionShared::new(connection, config.clone(), facts, hosting.interceptors().clone()));
    let driver = Driver::new(transport, shared.clone(), hosting.clone());
    (Session::new(shared), driver)
}
