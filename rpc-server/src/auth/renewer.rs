//! `Renewer`: hosts the reserved contract `rpc.Session`, by which a client renews its identity.

use std::time::Duration;

use rpc_core::{__renewal::Renewal, Concurrency, Config, Credential, Service, Session, Status};
use tracing::debug;

use super::Gatekeeper;
use crate::upgrade::MAX_HEAD;

/// The server's end of the contract, for one session.
#[derive(Debug)]
struct Renewer {
    session: Session,
    gatekeeper: Gatekeeper,
    limit: Duration,
}

/// The service that a server with an authenticator hosts in each session. A session's renewals come one after another,
/// so that one client makes the authenticator work on one credential at a time.
pub(crate) fn renewals(gatekeeper: &Gatekeeper, config: &Config) -> Service {
    let (gatekeeper, limit) = (gatekeeper.clone(), config.hello_timeout());
    let make = move |session: &Session| Renewer { session: session.clone(), gatekeeper: gatekeeper.clone(), limit };
    Renewal::per_session(make).concurrency(Concurrency::Single)
}

impl Renewal for Renewer {
    async fn time_left(&self) -> Option<u64> {
        let left = self.session.identity()?.time_left()?;
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    async fn renew(&self, credential: &[u8]) -> Result<Option<u64>, Status> {
        if self.session.identity().is_none() {
            return Err(Status::failed_precondition("this session has no identity that could be renewed"));
        }
        if credential.len() > MAX_HEAD {
            return Err(Status::invalid_argument(format!("a credential has {MAX_HEAD} bytes at most")));
        }
        let credential = Credential::in_hello(credential);
        let identity = self.gatekeeper.at_renewal(&credential, &self.session.info(), self.limit).await?;
        if !self.session.renew(identity) {
            return Err(Status::permission_denied(
                "the credential is that of another principal than this session's; connect again with it",
            ));
        }
        debug!(session = %self.session.id(), "the identity was renewed");
        Ok(self.time_left().await)
    }
}
