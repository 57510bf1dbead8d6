//! `Gatekeeper`: asks the authenticator, within its time, and catches its panic.

use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use http::Uri;
use rpc_core::{ConnectionInfo, Credential, Identity, Principal, logging::LogLimit};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, warn};

use super::{AuthError, AuthRequest, Authenticator, Verdict};

/// A server's authenticator, if it has one, as the upgrade asks it.
#[derive(Clone, Default)]
pub(crate) struct Gatekeeper(Option<Arc<dyn Authenticator>>);

impl Gatekeeper {
    pub(crate) fn new(authenticator: Option<Arc<dyn Authenticator>>) -> Self {
        Self(authenticator)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Says who has sent an upgrade request. A little of `limit` is left for the answer.
    pub(crate) async fn at_upgrade(
        &self,
        uri: &Uri,
        info: &ConnectionInfo,
        limit: Duration,
    ) -> Result<Verdict, AuthError> {
        // A layer around the upgrade may have found out who the client is. The session takes the identity from the
        // extensions.
        let is_known = info.extensions.get::<Identity>().is_some() || info.extensions.get::<Principal>().is_some();
        let Some(authenticator) = self.0.as_ref().filter(|_| !is_known) else { return Ok(Verdict::Anonymous) };
        let request = AuthRequest::new(uri, info);
        let asked = caught(|| authenticator.at_upgrade(&request));
        let verdict = timeout(limit - limit / 20, asked).await.unwrap_or_else(|_| Err(too_slow("at the upgrade")))?;
        if let Verdict::Identified(identity) = &verdict {
            check_time(identity)?;
        }
        Ok(verdict)
    }

    /// Says who has sent a Hello, after the upgrade has left that open. `credentials` come from the Hello, and are
    /// empty if it has none.
    pub(crate) async fn at_hello(
        &self,
        credentials: &[u8],
        info: &ConnectionInfo,
        until: Option<Instant>,
    ) -> Result<Option<Identity>, AuthError> {
        let Some(authenticator) = &self.0 else { return Ok(None) };
        let credential = (!credentials.is_empty()).then(|| Credential::in_hello(credentials));
        let asked = caught(|| authenticator.at_hello(credential.as_ref(), info));
        let identity = match until {
            Some(until) => timeout_at(until, asked).await.unwrap_or_else(|_| Err(too_slow("at the hello")))?,
            None => asked.await?,
        };
        identity.as_ref().map_or(Ok(()), check_time)?;
        Ok(identity)
    }

    /// Says whose credential a client shows to renew its identity.
    pub(crate) async fn at_renewal(
        &self,
        credential: &Credential,
        info: &ConnectionInfo,
        limit: Duration,
    ) -> Result<Identity, AuthError> {
        let Some(authenticator) = &self.0 else { return Err(AuthError::internal("this server has no authenticator")) };
        let asked = caught(|| authenticator.authenticate(credential, info));
        let identity = timeout(limit, asked).await.unwrap_or_else(|_| Err(too_slow("at a renewal")))?;
        check_time(&identity)?;
        Ok(identity)
    }
}

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gatekeeper").field(&self.0.is_some()).finish()
    }
}

/// Runs an authenticator's future. If the future or the function that makes it panics, the client is refused.
async fn caught<'a, T, F>(ask: impl FnOnce() -> F) -> Result<T, AuthError>
where
    F: Future<Output = Result<T, AuthError>> + Send + 'a,
{
    let asked = AssertUnwindSafe(async move { ask().await }).catch_unwind().await;
    asked.unwrap_or_else(|payload| {
        // Dropping the payload of a panic may panic as well. Leaking the second payload does less harm.
        if let Err(worse) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            mem::forget(worse);
        }
        static PANICKED: LogLimit = LogLimit::new();
        if let Some(more) = PANICKED.admit(Instant::now().into_std()) {
            error!("the authenticator panicked{more}");
        }
        Err(AuthError::internal("the client could not be authenticated"))
    })
}

/// Refuses an identity that has expired: its session would end at once.
fn check_time(identity: &Identity) -> Result<(), AuthError> {
    match identity.time_left() {
        Some(Duration::ZERO) => Err(AuthError::unauthenticated("the credential has expired")),
        _ => Ok(()),
    }
}

fn too_slow(stage: &str) -> AuthError {
    static SLOW: LogLimit = LogLimit::new();
    if let Some(more) = SLOW.admit(Instant::now().into_std()) {
        warn!(stage, "the authenticator took too long, and the client was refused{more}");
    }
    AuthError::unavailable("the client could not be authenticated in time; connect again in a moment")
}

#[cfg(test)]
mod tests {
    use rpc_core::async_trait;

    use super::*;

    struct Silent;

    #[async_trait]
    impl Authenticator for Silent {
        async fn authenticate(&self, _: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
            Err(AuthError::unauthenticated("not you"))
        }

        async fn at_upgrade(&self, _: &AuthRequest<'_>) -> Result<Verdict, AuthError> {
            Err(AuthError::unauthenticated("not you"))
        }
    }

    #[tokio::test]
    async fn a_client_that_a_layer_around_the_upgrade_knows_is_let_in_unasked() {
        let gatekeeper = Gatekeeper::new(Some(Arc::new(Silent)));
        let (uri, second) = (Uri::from_static("/"), Duration::from_secs(1));
        let ask = async |info: ConnectionInfo| gatekeeper.at_upgrade(&uri, &info, second).await;
        assert!(ask(ConnectionInfo::default()).await.is_err());
        let mut by_principal = ConnectionInfo::default();
        by_principal.extensions.insert(Principal::from("ada"));
        assert_eq!(ask(by_principal).await, Ok(Verdict::Anonymous));
        let mut by_identity = ConnectionInfo::default();
        by_identity.extensions.insert(Identity::new("ada"));
        assert_eq!(ask(by_identity).await, Ok(Verdict::Anonymous));
    }
}
