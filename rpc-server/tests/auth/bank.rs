//! A server that asks who its clients are, and tells what it has found out.

use std::{
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use rpc_core::{Config, Context, Credential, Identity, Session, SessionHooks, Status, async_trait};
use rpc_server::{AuthError, AuthRequest, Authenticator, ConnectionInfo, Server, ServerBuilder, Verdict};

/// A password, which no log and no error may show.
pub(crate) const SECRET: &str = "hunter2";

/// The application's own value.
pub(crate) struct Account {
    pub(crate) balance: u32,
}

#[rpc_core::callback]
pub(crate) trait Customer {
    async fn greet(&self, name: &str) -> String;
}

#[rpc_core::service(callback = Customer)]
pub(crate) trait Bank {
    async fn name(&self, cx: &Context<CustomerClient>) -> Option<String>;
    async fn balance(&self, cx: &Context<CustomerClient>) -> Option<u32>;
    async fn greeting(&self, cx: &Context<CustomerClient>) -> Result<String, Status>;
}

pub(crate) struct House;

impl Bank for House {
    async fn name(&self, cx: &Context<CustomerClient>) -> Option<String> {
        cx.principal().map(|principal| principal.to_string())
    }

    async fn balance(&self, cx: &Context<CustomerClient>) -> Option<u32> {
        cx.principal()?.value::<Account>().map(|account| account.balance)
    }

    async fn greeting(&self, cx: &Context<CustomerClient>) -> Result<String, Status> {
        let name = cx.principal().ok_or_else(|| Status::unauthenticated("who are you?"))?;
        cx.peer().greet(name.name()).await
    }
}

/// Hosted by a client.
pub(crate) struct Person;

impl Customer for Person {
    async fn greet(&self, name: &str) -> String {
        format!("I am {name}")
    }
}

/// The tokens that it knows say what it does.
pub(crate) struct Login;

#[async_trait]
impl Authenticator for Login {
    async fn authenticate(&self, credential: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        match credential.expose_text().unwrap() {
            SECRET => Ok(Identity::new("ada").value(Account { balance: 42 })),
            "expired" => Ok(Identity::new("ada").expires_in(Duration::ZERO)),
            "slow" => future::pending().await,
            "panics" => panic!("the authenticator of a test panics"),
            "denied" => Err(AuthError::permission_denied("this account is closed")),
            "often" => Err(AuthError::too_many("too many attempts", Duration::from_millis(1500))),
            "down" => Err(AuthError::unavailable("the database does not answer")),
            _ => Err(AuthError::unauthenticated("the token is not valid").with_challenge("Bearer realm=\"bank\"")),
        }
    }

    async fn at_upgrade(&self, request: &AuthRequest<'_>) -> Result<Verdict, AuthError> {
        if let Some(cookie) = request.cookie("session") {
            return Ok(self.authenticate(&cookie, request.info()).await?.into());
        }
        if request.headers().contains_key("x-guest") {
            return Ok(Verdict::Anonymous);
        }
        match request.bearer() {
            Some(token) => Ok(self.authenticate(&token, request.info()).await?.into()),
            None => Ok(Verdict::Undecided),
        }
    }
}

/// A principal and the balance of its account.
type Found = (Option<String>, Option<u32>);

/// What the `opened` hooks have seen.
#[derive(Clone, Default)]
pub(crate) struct Seen(pub(crate) Arc<Mutex<Vec<Found>>>);

#[async_trait]
impl SessionHooks for Seen {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        let principal = session.principal();
        let balance = principal.as_ref().and_then(|principal| principal.value::<Account>()).map(|a| a.balance);
        self.0.lock().unwrap().push((principal.map(|principal| principal.to_string()), balance));
        Ok(())
    }
}

/// A server at which `Login` waits.
pub(crate) fn bank() -> ServerBuilder {
    Server::builder().service(House.serve()).authenticator(Login)
}

/// A configuration in which an authenticator has hardly any time.
pub(crate) fn hasty() -> Config {
    let short = Duration::from_millis(300);
    Config::builder().upgrade_timeout(short * 10).hello_timeout(short).build().unwrap()
}
