//! How a session begins.

use std::sync::Arc;

use super::{Driver, Transport, memory::memory};
use crate::{
    config::Config,
    peer::{ConnectionInfo, Facts, Session, SessionId, SessionShared, now},
    proto::{Connection, Role},
    service::Hosting,
};

/// Begins the server's end of a session over a transport that is open. The driver is a future that does all the work:
/// spawn it. The session is open once it has got the client's Hello; see [`Session::established`].
///
/// # Panics
///
/// Outside a tokio runtime that has its time enabled.
pub fn accept(
    transport: impl Transport,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> (Session, Driver) {
    start(Role::Server, Box::new(transport), hosting, config, info)
}

/// Begins the client's end of a session over a transport that is open. As [`accept`].
///
/// # Panics
///
/// As [`accept`].
pub fn connect(
    transport: impl Transport,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> (Session, Driver) {
    start(Role::Client, Box::new(transport), hosting, config, info)
}

/// A session with both ends in this process, for tests, with the default configuration: what `server` and `client` host
/// calls each other through memory, with the same protocol and the same limits as over a network. Returns the server's
/// handle and the client's.
///
/// Both ends live until one is closed. Neither the handles nor the stubs made of them keep the session open, or close
/// it when they are dropped.
///
/// # Panics
///
/// Outside a tokio runtime that has its time enabled. The runtime gets a task for each end.
pub fn connect_in_memory(server: &Hosting, client: &Hosting) -> (Session, Session) {
    connect_in_memory_with(server, client, &Config::default())
}

/// As [`connect_in_memory`], with this configuration at both ends.
///
/// # Panics
///
/// As [`connect_in_memory`].
pub fn connect_in_memory_with(server: &Hosting, client: &Hosting, config: &Config) -> (Session, Session) {
    let (near, far) = memory();
    let (server, server_driver) = accept(near, server, config, ConnectionInfo::default());
    let (client, client_driver) = connect(far, client, config, ConnectionInfo::default());
    tokio::spawn(server_driver);
    tokio::spawn(client_driver);
    (server, client)
}

fn start(
    role: Role,
    transport: Box<dyn Transport>,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> (Session, Driver) {
    let id = SessionId::next();
    let contracts = if role == Role::Client { hosting.announced() } else { Vec::new() };
    let mut connection = Connection::new(role, id.number(), config.clone(), contracts, now());
    if let Some(pool) = hosting.memory() {
        connection.join_pool(pool);
    }
    let shared =
        Arc::new(SessionShared::new(connection, config.clone(), Facts::new(id, info), hosting.interceptors().clone()));
    let driver = Driver::new(transport, shared.clone(), hosting.clone());
    (Session::new(shared), driver)
}
