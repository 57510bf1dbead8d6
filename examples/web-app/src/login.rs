//! The login: users in memory, a cookie, and the extractor that reads it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use rpc_server::Credential;

use crate::app::AppState;

/// The name of the cookie.
const COOKIE: &str = "login";
/// The newest logins count. Older ones are forgotten, so that logins cannot fill the memory.
const MOST_TOKENS: usize = 1000;

/// A user who is logged in. As an extractor it refuses requests without a login, with 401.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) is_admin: bool,
}

/// The users and their passwords. They live in memory; a real application keeps salted hashes in a database.
#[derive(Clone)]
pub struct Users {
    users: BTreeMap<String, (Credential, bool)>,
}

/// Who is logged in. Cheap to clone; clones are the same.
#[derive(Clone)]
pub(crate) struct Logins {
    users: Arc<Users>,
    /// The tokens in the cookies, the newest at the end.
    tokens: Arc<Mutex<VecDeque<(Credential, User)>>>,
}

impl Users {
    /// No users.
    pub fn new() -> Self {
        Self { users: BTreeMap::new() }
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, is_admin: bool) -> Self {
        self.users.insert(name.to_owned(), (Credential::bearer(password), is_admin));
        self
    }
}

impl Default for Users {
    /// Ada, who is an administrator, with the password `lovelace`; and Ben, with the password `franklin`.
    fn default() -> Self {
        Self::new().user("ada", "lovelace", true).user("ben", "franklin", false)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.users.keys()).finish()
    }
}

impl Logins {
    pub(crate) fn new(users: Users) -> Self {
        Self { users: Arc::new(users), tokens: Arc::default() }
    }

    /// Logs a user in. Returns the value of the header `set-cookie`, or `None` if the name or the password is wrong.
    pub(crate) fn enter(&self, name: &str, password: &str, is_encrypted: bool) -> Option<String> {
        let (known, is_admin) = self.users.users.get(name)?;
        if !known.matches(password) {
            return None;
        }
        let token = token()?;
        let mut tokens = self.tokens();
        if tokens.len() == MOST_TOKENS {
            tokens.pop_front();
        }
        tokens.push_back((Credential::bearer(&token), User { name: name.to_owned(), is_admin: *is_admin }));
        // Scripts cannot read the cookie, and browsers send it with no POST and no WebSocket of another site. A browser
        // sends a secure cookie by TLS only.
        let secure = if is_encrypted { "; Secure" } else { "" };
        Some(format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax{secure}"))
    }

    /// The user of a request.
    pub(crate) fn find(&self, parts: &Parts) -> Option<User> {
        let token = cookie(parts)?;
        let tokens = self.tokens();
        tokens.iter().find(|(known, _)| known.matches(token)).map(|(_, user)| user.clone())
    }

    /// Forgets the login of a request.
    pub(crate) fn leave(&self, parts: &Parts) {
        if let Some(token) = cookie(parts) {
            self.tokens().retain(|(known, _)| !known.matches(token));
        }
    }

    fn tokens(&self) -> MutexGuard<'_, VecDeque<(Credential, User)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromRequestParts<AppState> for User {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Self::Rejection> {
        state.logins.find(parts).ok_or((StatusCode::UNAUTHORIZED, "Log in first, at /login.\n"))
    }
}

/// 256 random bits in hex; `None` if the system has none.
fn token() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    }))
}

fn cookie(parts: &Parts) -> Option<&str> {
    let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token)
}
