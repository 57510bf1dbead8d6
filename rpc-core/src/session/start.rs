//! How a client's session begins, and what both ends begin with.

use std::sync::Arc;

use super::{Driver, Transport};
use crate::{
    config::Config,
    credential::Credential,
    peer::{ConnectionInfo, Facts, Session, SessionId, SessionShared, now},
    proto::Connection,
    service::Hosting,
};

/// What a client says when it begins a session, beside what it hosts and its limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greeting<'a> {
    /// Shows who the client is. A credential that is [not sent in a Hello](Credential::is_in_hello) is ignored.
    pub credential: Option<&'a Credential>,
    /// Whether the client makes another link when it loses one, and [resumes](super::resume()) its session there. It
    /// asks for [`Config::resume_window`](crate::Config::resume_window) then.
    pub resumes: bool,
}

/// Begins the client's end of a session over a transport that is open. The session ends with its link. The driver is a
/// future that does all the work: spawn it. The session is open once it has got the server's Welcome; see
/// [`Session::established`]. The server's end begins with a [`Handshake`](super::Handshake).
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
    connect_with(Greeting::default(), transport, hosting, config, info)
}

/// As [`connect`], for a client that has more to say.
///
/// # Panics
///
/// As [`connect`].
pub fn connect_with(
    greeting: Greeting<'_>,
    transport: impl Transport,
    hosting: &Hosting,
    config: &Config,
    info: ConnectionInfo,
) -> (Session, Driver) {
    let id = SessionId::next();
    let mut connection = Connection::client(id.number(), config.clone(), hosting.announced(), now());
    if let Some(credential) = greeting.credential.filter(|credential| credential.is_in_hello()) {
        connection.show(credential.expose());
    }
    if greeting.resumes {
        connection.make_resumable(config.resumability(), &[]);
    }
    begin(transport.boxed(), id, connection, hosting, config, info)
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
    if let Some(pool) = hosting.replay() {
        connection.join_replay_pool(pool);
    }
    let facts = Facts::new(id, info);
    connection.expire_at(facts.expires());
    let shared = Arc::new(SessionShared::new(connection, config.clone(), facts, hosting.interceptors().clone()));
    let driver = Driver::new(transport, shared.clone(), hosting.clone());
    (Session::new(shared), driver)
}
