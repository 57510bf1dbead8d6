//! `Renewer`: hosts the reserved contract `rpc.Session`, by which a client renews its identity.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rpc_core::{__renewal::Renewal, Concurrency, Config, Credential, Service, Session, Status};
use tokio::time::Instant;
use tracing::debug;

use super::{AuthErrorKind, Gatekeeper};
use crate::headers::MAX_HEAD;

/// How many credentials of one session may be refused in a minute. An attempt costs a client no connection, so a
/// session must be no place to guess credentials.
const MAX_REFUSED: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// The server's end of the contract, for one session.
#[derive(Debug)]
struct Renewer {
    session: Session,
    gatekeeper: Gatekeeper,
    limit: Duration,
    refused: Mutex<Refused>,
}

/// The credentials that have been refused in this minute.
#[derive(Debug)]
struct Refused {
    since: Instant,
    count: u32,
}

/// The service that a server with an authenticator hosts in each session. A session's renewals come one after another,
/// so that one client makes the authenticator work on one credential at a time.
pub(crate) fn renewals(gatekeeper: &Gatekeeper, config: &Config) -> Service {
    let (gatekeeper, limit) = (gatekeeper.clone(), config.hello_timeout());
    let make = move |session: &Session| Renewer {
        session: session.clone(),
        gatekeeper: gatekeeper.clone(),
        limit,
        refused: Mutex::new(Refused { since: Instant::now(), count: 0 }),
    };
    Renewal::per_session(make).concurrency(Concurrency::Single)
}

impl Renewer {
    fn refused(&self) -> MutexGuard<'_, Refused> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.since.elapsed() >= MINUTE {
            *refused = Refused { since: Instant::now(), count: 0 };
        }
        refused
    }
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
        if self.refused().count >= MAX_REFUSED {
            return Err(Status::resource_exhausted(format!(
                "{MAX_REFUSED} credentials of this session were refused within a minute; try again in a minute"
            )));
        }
        let credential = Credential::in_hello(credential);
        let judged = self.gatekeeper.at_renewal(&credential, &self.session.info(), self.limit).await;
        if judged.as_ref().is_err_and(|error| is_of_credential(error.kind())) {
            self.refused().count += 1;
        }
        if !self.session.renew(judged?) {
            self.refused().count += 1;
            return Err(Status::permission_denied(
                "the credential belongs to another principal than this session; connect again with it",
            ));
        }
        debug!(session = %self.session.id(), "the identity was renewed");
        Ok(self.time_left().await)
    }
}

/// Whether the authenticator has judged the credential, and refuses it.
fn is_of_credential(kind: AuthErrorKind) -> bool {
    match kind {
        AuthErrorKind::Unauthenticated | AuthErrorKind::PermissionDenied => true,
        AuthErrorKind::TooMany | AuthErrorKind::Unavailable | AuthErrorKind::Internal => false,
    }
}
