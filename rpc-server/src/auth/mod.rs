//! Authentication: who a client is, by its upgrade request or by the credential in its Hello.

mod ask;
mod error;
mod renewer;
mod request;

use rpc_core::{ConnectionInfo, Credential, Identity, async_trait};

pub(crate) use ask::Gatekeeper;
pub use error::{AuthError, AuthErrorKind};
pub(crate) use renewer::renewals;
pub use request::AuthRequest;

/// Says who a client is. [`ServerBuilder::authenticator`](crate::ServerBuilder::authenticator) takes one.
///
/// A client shows its credential in one of two places: in the HTTP upgrade (a bearer token, a cookie, a certificate),
/// or in its Hello, the first frame of the protocol. [`at_upgrade`](Self::at_upgrade) is asked first. If its verdict is
/// [`Verdict::Undecided`], [`at_hello`](Self::at_hello) decides. Both have a default that calls
/// [`authenticate`](Self::authenticate), so that an authenticator of tokens needs no other method.
///
/// The principal of the [`Identity`] becomes the session's: `cx.principal()` in a handler, `session.principal()` in a
/// hook. A client that is refused learns the reason, and no hook runs for it.
///
/// An authenticator may await, for instance a database. At the upgrade it has most of
/// [`Config::upgrade_timeout`](rpc_core::Config::upgrade_timeout). The wait for the Hello and the authenticator
/// together have [`Config::hello_timeout`](rpc_core::Config::hello_timeout). After that time the future is dropped, and
/// the client is refused as by [`AuthError::unavailable`]. A panic refuses the client with an internal error. The
/// future is dropped too when the server shuts down.
///
/// When the identity expires, the session ends with close code 4401, unless the client shows a newer credential in
/// time: [`authenticate`](Self::authenticate) is asked again, within
/// [`Config::hello_timeout`](rpc_core::Config::hello_timeout), and the newer identity replaces the older one. Both
/// identities must have the same name. After ten credentials that are refused within a minute, the
/// authenticator is asked about no others of that session until the minute is over. Clients of this project renew by
/// themselves if they have a source of credentials.
///
/// If a layer around the upgrade has put an [`Identity`] or a [`Principal`](rpc_core::Principal) into the request's
/// extensions, the layer knows the client already, and the authenticator is not asked.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_server::{AuthError, Authenticator, ConnectionInfo, Credential, Identity, Server, async_trait};
///
/// struct Login;
///
/// #[async_trait]
/// impl Authenticator for Login {
///     async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
///         if !credential.matches("4711") {
///             return Err(AuthError::unauthenticated("the token is not valid"));
///         }
///         Ok(Identity::new("ada").expires_in(Duration::from_secs(3600)))
///     }
/// }
///
/// let server = Server::builder().authenticator(Login).build()?;
/// # drop(server);
/// # Ok::<_, rpc_server::BuildError>(())
/// ```
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Says whose credential this is: a bearer token of the upgrade, the credential of the Hello, or the credential
    /// that a client shows later to renew its identity. If the identity has expired already, the client is refused.
    ///
    /// # Errors
    ///
    /// If the credential is not valid, or the client may not connect.
    async fn authenticate(&self, credential: &Credential, info: &ConnectionInfo) -> Result<Identity, AuthError>;

    /// Looks at the HTTP upgrade. By default this is [`Self::authenticate`] for a request with a
    /// [bearer token](AuthRequest::bearer), and [`Verdict::Undecided`] for any other.
    ///
    /// # Errors
    ///
    /// If the client is refused: it gets an HTTP status and the reason.
    async fn at_upgrade(&self, request: &AuthRequest<'_>) -> Result<Verdict, AuthError> {
        match request.bearer() {
            Some(token) => Ok(Verdict::Identified(self.authenticate(&token, request.info()).await?)),
            None => Ok(Verdict::Undecided),
        }
    }

    /// Looks at the credential in the Hello, if there is one, after [`Self::at_upgrade`] did not decide. By default
    /// this is [`Self::authenticate`], and a client without a credential is refused. `Ok(None)` lets the client in
    /// without a principal.
    ///
    /// # Errors
    ///
    /// If the client is refused: it gets the reason as the status of the Welcome, and then close code 4400.
    async fn at_hello(
        &self,
        credential: Option<&Credential>,
        info: &ConnectionInfo,
    ) -> Result<Option<Identity>, AuthError> {
        match credential {
            Some(credential) => Ok(Some(self.authenticate(credential, info).await?)),
            None => Err(AuthError::unauthenticated("this server asks its clients for a credential")),
        }
    }
}

/// What an [`Authenticator`] says of an upgrade request that it does not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The client is known.
    Identified(Identity),
    /// The client may come in, and has no principal.
    Anonymous,
    /// The request does not tell who the client is. The Hello decides.
    Undecided,
}

impl From<Identity> for Verdict {
    fn from(identity: Identity) -> Self {
        Self::Identified(identity)
    }
}
