//! Renewing an identity before it expires.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use rpc_core::{
    __renewal::RenewalClient, Code, Execution, Session, SessionState, Status, Stub, logging::LogLimit, text::excerpt_of,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::Credentials;

/// A server that says that no time is left is asked no more often than this.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// Whether the server lets its clients renew their identities.
pub(crate) fn can_renew(session: &Session) -> bool {
    session.hosts(RenewalClient::CONTRACT.name())
}

/// Renews the identity of this side when 80 % of its time are over, until the session ends. Each link of the session
/// shows a credential of its own, and the newest one counts. `limit` is the time that the source of the credentials
/// has.
pub(crate) async fn keep_renewed(session: Session, credentials: Arc<dyn Credentials>, limit: Duration) {
    // This stub does not keep the session open.
    let server: RenewalClient = session.client();
    loop {
        tokio::select! {
            biased;
            _ = session.closed() => return,
            () = session.next_link() => {}
            never = renew_in_time(&session, &server, &*credentials, limit) => match never {},
        }
    }
}

/// Renews the identity in time, for as long as the session has this link.
async fn renew_in_time(
    session: &Session,
    server: &RenewalClient,
    credentials: &dyn Credentials,
    limit: Duration,
) -> Infallible {
    let mut left = match server.time_left().await {
        Ok(left) => left,
        Err(status) => {
            debug!(session = %session.id(), "no identity is renewed: {}", excerpt_of(&status));
            return pending().await;
        }
    };
    while let Some(millis) = left {
        let whole = Duration::from_millis(millis);
        sleep((whole / 5 * 4).max(LEAST_WAIT)).await;
        left = loop {
            match renew(server, credentials, limit).await {
                Ok(left) => break left,
                // The call was cut off, and there is nothing to renew any more.
                Err(_) if matches!(session.state(), SessionState::Closing | SessionState::Closed) => {
                    return pending().await;
                }
                Err(why) => {
                    static FAILED: LogLimit = LogLimit::new();
                    if let Some(more) = FAILED.admit(Instant::now().into_std()) {
                        warn!(session = %session.id(), "the identity is not renewed yet: {why}{more}");
                    }
                    sleep((whole / 25).max(LEAST_WAIT)).await;
                }
            }
        };
    }
    // It does not expire, unless the next link shows another one.
    pending().await
}

async fn renew(server: &RenewalClient, credentials: &dyn Credentials, limit: Duration) -> Result<Option<u64>, String> {
    let credential = match timeout(limit, credentials.credential()).await {
        Ok(Ok(credential)) => credential,
        Ok(Err(error)) => return Err(format!("there is no credential ({})", excerpt_of(&error))),
        Err(_) => return Err(format!("there is no credential within {limit:?} (Config::upgrade_timeout)")),
    };
    server.renew(credential.expose()).await.map_err(|status| {
        let who = if is_answer(&status) { "the server says" } else { "the call failed" };
        format!("{who}: {}", excerpt_of(&status))
    })
}

/// Whether the server's authenticator has certainly given this status. The framework of this side gives the others as
/// well, for instance when the deadline comes while there is no link.
fn is_answer(status: &Status) -> bool {
    status.execution() == Execution::Unknown
        && !matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled | Code::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_no_answer_of_the_server() {
        assert!(!is_answer(&Status::deadline_exceeded("too late")));
        assert!(is_answer(&Status::unauthenticated("the token is not valid")));
        assert!(is_answer(&Status::unavailable("the directory of users is not there")));
    }
}
