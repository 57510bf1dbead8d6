//! Sessions with both ends in one process.

use super::{handshake::Handshake, memory::memory, start::begin};
use crate::{
    config::Config,
    peer::{ConnectionInfo, Session, SessionId, now},
    proto::Connection,
    service::Hosting,
};

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
    let id = SessionId::next();
    let mut connection = Connection::client(id.number(), config.clone(), client.announced(), now());
    // The Hello goes over in memory, so that both handles are there at once.
    let hello = connection.take_hello().expect("a client that has just begun has not said it");
    let (server, server_driver) = Handshake::greeted(near, hello, config).accept(server, ConnectionInfo::default());
    let (client, client_driver) = begin(Box::new(far), id, connection, client, config, ConnectionInfo::default());
    tokio::spawn(server_driver);
    tokio::spawn(client_driver);
    (server, client)
}
