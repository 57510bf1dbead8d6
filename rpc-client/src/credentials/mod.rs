//! `Credentials`: where a client gets the credential that it shows.

mod renewing;

use std::{error::Error, time::Duration};

use http::HeaderValue;
use rpc_core::{Credential, Hosting, async_trait};
use tokio::time::timeout;

pub(crate) use renewing::{can_renew, keep_renewed};

use crate::error::ConnectError;

/// The longest credential for a Hello, in bytes. A server takes 16 KiB from a client before there is a session.
const MAX_IN_HELLO: usize = 8 * 1024;

/// Why there is no credential.
pub type CredentialError = Box<dyn Error + Send + Sync>;

/// Where a client gets its credential, for instance a token endpoint.
/// [`ConnectBuilder::credentials`](crate::ConnectBuilder::credentials) takes one.
///
/// Any function without arguments that returns a future of `Result<Credential, _>` is a source of credentials, and so
/// is a [`Credential`] that stays the same. The errors go into the log, so they must not contain secrets.
///
/// ```
/// use rpc_client::{Credential, ConnectError, connect};
///
/// async fn fetch_token(user: &str) -> Result<String, std::io::Error> {
///     Ok(format!("a token of {user}"))
/// }
///
/// # async fn example() -> Result<(), ConnectError> {
/// let user = "ada".to_owned();
/// let client = connect("ws://127.0.0.1:9000/")
///     .credentials(move || {
///         let user = user.clone();
///         async move { fetch_token(&user).await.map(Credential::bearer) }
///     })
///     .await?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no source of credentials",
    note = "a source is a `Credential` that stays the same, for instance `Credential::bearer(token)`",
    note = "or a function without arguments that returns a future of `Result<Credential, _>`"
)]
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// Returns the credential to show now. The client asks before each connection, and again before an identity
    /// expires. A connection waits for the credential for
    /// [`Config::upgrade_timeout`](rpc_core::Config::upgrade_timeout) at most; then the future is dropped.
    ///
    /// # Errors
    ///
    /// If there is no credential. Then connecting fails, or the client tries the renewal again.
    async fn credential(&self) -> Result<Credential, CredentialError>;
}

#[async_trait]
impl<F, Fut, E> Credentials for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Credential, E>> + Send,
    E: Into<CredentialError>,
{
    async fn credential(&self) -> Result<Credential, CredentialError> {
        self().await.map_err(Into::into)
    }
}

#[async_trait]
impl Credentials for Credential {
    async fn credential(&self) -> Result<Credential, CredentialError> {
        Ok(self.clone())
    }
}

/// Asks for the credential of a connection that hosts these contracts. Returns the credential, with the header that
/// shows it if the credential goes with the upgrade.
pub(crate) async fn ask(
    credentials: &dyn Credentials,
    hosting: &Hosting,
    limit: Duration,
) -> Result<(Credential, Option<HeaderValue>), ConnectError> {
    let credential = timeout(limit, credentials.credential()).await;
    let credential = credential
        .unwrap_or_else(|_| Err(format!("asking for it took longer than {limit:?} (Config::upgrade_timeout)").into()));
    let shown = credential.and_then(|credential| Ok((header_of(&credential, hosting)?, credential)));
    shown.map(|(header, credential)| (credential, header)).map_err(|source| ConnectError::Credentials { source })
}

/// The header of a credential that goes with the upgrade. The error says why the credential cannot be sent.
fn header_of(credential: &Credential, hosting: &Hosting) -> Result<Option<HeaderValue>, CredentialError> {
    if credential.is_in_hello() {
        let len = credential.expose().len();
        if len > MAX_IN_HELLO {
            return Err(format!("it has {len} bytes, and a Hello has room for {MAX_IN_HELLO}").into());
        }
        hosting.__check_hello(credential)?;
        return Ok(None);
    }
    let value = credential.expose_text().and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut value = value.ok_or("it has bytes that a header may not have")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_sent_is_refused_without_being_shown() {
        for (credential, why) in [
            (Credential::bearer("hunter2\n"), "header"),
            (Credential::in_hello([b'x'; MAX_IN_HELLO + 1]), "8193 bytes"),
        ] {
            let error = ask(&credential, &Hosting::default(), SECOND).await.unwrap_err();
            assert!(error.to_string().contains(why) && !format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(ask(&Credential::in_hello([b'x'; MAX_IN_HELLO]), &Hosting::default(), SECOND).await.is_ok());
        let error = ask(&std::future::pending::<Result<Credential, CredentialError>>, &Hosting::default(), SECOND)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("1s"), "{error}");
        let none = async || Err::<Credential, _>("no token today");
        assert!(ask(&none, &Hosting::default(), SECOND).await.unwrap_err().to_string().contains("no token today"));
    }

    #[test]
    fn the_header_is_not_shown() {
        let header = header_of(&Credential::bearer("hunter2"), &Hosting::default()).unwrap().unwrap();
        assert_eq!(header, "Bearer hunter2");
        assert!(!format!("{header:?}").contains("hunter2"));
        assert!(header_of(&Credential::in_hello("hunter2"), &Hosting::default()).unwrap().is_none());
    }
}
