//! `Plan`: what a client needs to make a session, once and again.

use std::sync::Arc;

use http::{HeaderMap, header};
use rpc_core::{
    Config, ConnectionInfo, Credential, Hosting, Peer, Session,
    contract::ContractDescriptor,
    logging::LogLimit,
    session::{self, Driver, Greeting, Resumed, Transport, WebSocket},
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    credentials::{Credentials, ask, can_renew, keep_renewed},
    dial::{Carrier, Opened, Stream, dial, shown},
    error::ConnectError,
    tls::Tls,
};

/// What a client needs to make a session, once and again.
pub(crate) struct Plan {
    pub(super) url: String,
    /// What carries the next connection; `None` when a stream of the application has been used up.
    pub(super) carrier: Option<Carrier>,
    pub(super) tls: Option<Tls>,
    pub(super) headers: HeaderMap,
    pub(crate) config: Config,
    pub(crate) hosting: Hosting,
    pub(super) credentials: Option<Arc<dyn Credentials>>,
    /// The contract that the server must offer.
    pub(super) contract: Option<&'static ContractDescriptor>,
    /// Whether the client resumes its session over another link.
    pub(super) resumes: bool,
}

impl Plan {
    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Makes a session. Dropping the returned handle closes it. Dropping the future closes what it has opened.
    pub(crate) async fn make(&mut self) -> Result<Peer, ConnectError> {
        let Link { transport, credential, info } = self.dial().await?;
        let Self { hosting, config, .. } = self;
        let greeting = Greeting { credential: credential.as_ref(), resumes: self.resumes };
        let (session, driver) = session::connect_with(greeting, transport, hosting, config, info);
        self.establish(session, driver).await
    }

    /// Makes a link for a session that has lost its own. If the server does not know the session any more, it has begun
    /// another one, to be [established](Self::establish), and the old one is over. Dropping the future closes what it
    /// has opened.
    pub(crate) async fn resume(&mut self, session: &Session) -> Result<Resumed, ConnectError> {
        let Link { transport, credential, info } = self.dial().await?;
        let Self { hosting, config, .. } = self;
        Ok(session::resume(session, credential.as_ref(), transport, hosting, config, info).await?)
    }

    /// Waits until a new session is open, and looks whether it is of use.
    pub(crate) async fn establish(&mut self, session: Session, driver: Driver) -> Result<Peer, ConnectError> {
        // If this peer is dropped, with this future or after a refusal, the driver ends.
        let peer = session.keep_open();
        tokio::spawn(driver);
        session.established().await?;
        let peer_addr = session.peer_addr();
        debug!(session = %session.id(), peer = peer_addr.map(tracing::field::display), "connected");
        if let Some(credentials) = self.credentials.clone().filter(|_| can_renew(&session)) {
            tokio::spawn(keep_renewed(session, credentials, self.config.upgrade_timeout()));
        }
        if let Some(contract) = self.contract {
            check_hosted(&peer.session(), contract, &self.url)?;
        }
        Ok(peer)
    }

    async fn dial(&mut self) -> Result<Link, ConnectError> {
        let Self { url, carrier, tls, config, hosting, .. } = self;
        let mut headers = self.headers.clone();
        let shown = match &self.credentials {
            Some(_) if headers.contains_key(header::AUTHORIZATION) => {
                let why = "the credentials are sent as this header".to_owned();
                return Err(ConnectError::Header { name: "authorization".to_owned(), why });
            }
            Some(credentials) => Some(ask(&**credentials, hosting, config.upgrade_timeout()).await?),
            None => None,
        };
        let credential = shown.map(|(credential, header)| {
            headers.extend(header.map(|header| (header::AUTHORIZATION, header)));
            credential
        });
        let next = carrier.as_ref().and_then(Carrier::again);
        let Some(carrier) = std::mem::replace(carrier, next) else {
            return Err(ConnectError::Reconnect { why: "the stream that was given to .over(..) is used up" });
        };
        let Opened { stream, leftover, info, .. } = dial(url, carrier, tls.clone(), &headers, config).await?;
        let transport: Box<dyn Transport> = match stream {
            Stream::Plain(io) => Box::new(WebSocket::client(io, leftover, config)),
            Stream::Tls(io) => Box::new(WebSocket::client(io, leftover, config)),
            Stream::Own(io) => Box::new(WebSocket::client(io, leftover, config)),
        };
        Ok(Link { transport, credential, info })
    }
}

/// A connection to the server, on which nothing has been said.
struct Link {
    transport: Box<dyn Transport>,
    credential: Option<Credential>,
    info: ConnectionInfo,
}

/// Checks that the server at this URL offers a contract.
fn check_hosted(session: &Session, contract: &'static ContractDescriptor, url: &str) -> Result<(), ConnectError> {
    let (url, name) = (shown(url), contract.name());
    match session.hosts_same(contract) {
        Some(true) => Ok(()),
        Some(false) => {
            static OTHER_VERSION: LogLimit = LogLimit::new();
            if let Some(more) = OTHER_VERSION.admit(Instant::now().into_std()) {
                warn!(contract = name, "the server was built from another version of this contract{more}");
            }
            Ok(())
        }
        None => Err(match session.missing_callback(name) {
            Some(callback) => ConnectError::CallbackNotHosted { url, contract: name, callback },
            None => ConnectError::NotHosted { url, contract: name },
        }),
    }
}
