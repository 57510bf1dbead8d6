//! `Principal`: the party at the other end. `Identity`: a principal as an authenticator vouches for it.

use std::{
    any::Any,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::clock::now;

/// The party at the other end: a name that an application gives to a party that it knows, and a value of a type of the
/// application's own if it needs more than a name. Cheap to clone.
///
/// Two principals are equal if they have the same name, even if their values differ.
///
/// ```
/// use rpc_core::Principal;
///
/// struct User {
///     is_admin: bool,
/// }
///
/// let ada = Principal::from("ada");
/// assert_eq!((ada.name(), ada.to_string()), ("ada", "ada".to_owned()));
/// assert_eq!(ada, Principal::from(String::from("ada")));
///
/// let admin = ada.clone().with_value(User { is_admin: true });
/// assert!(admin.value::<User>().is_some_and(|user| user.is_admin));
/// assert_eq!(admin, ada);
/// ```
#[derive(Clone)]
pub struct Principal {
    name: Arc<str>,
    value: Option<Arc<dyn Any + Send + Sync>>,
}

impl Principal {
    /// A principal of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), value: None }
    }

    /// Sets the application's own value.
    #[must_use]
    pub fn with_value<T: Send + Sync + 'static>(self, value: T) -> Self {
        Self { value: Some(Arc::new(value)), ..self }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The application's own value; `None` if there is none, or if it has another type.
    pub fn value<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.value.as_deref()?.downcast_ref()
    }
}

impl From<&str> for Principal {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Principal {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Principal {}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl PartialOrd for Principal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Principal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may hold secrets.
        f.debug_tuple("Principal").field(&self.name).finish()
    }
}

/// A [`Principal`] as an authenticator vouches for it: for ever, or until a credential expires.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::Identity;
///
/// struct User {
///     is_admin: bool,
/// }
///
/// let ada = Identity::new("ada").value(User { is_admin: true }).expires_in(Duration::from_secs(3600));
/// assert_eq!(ada.principal().name(), "ada");
/// assert!(ada.time_left().is_some_and(|left| left > Duration::from_secs(3500)));
/// assert_eq!(Identity::new("bob").time_left(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    principal: Principal,
    expires: Option<Instant>,
}

impl Identity {
    /// The identity of this principal, which does not expire.
    pub fn new(principal: impl Into<Principal>) -> Self {
        Self { principal: principal.into(), expires: None }
    }

    /// Gives the principal a value of the application's own.
    #[must_use]
    pub fn value<T: Send + Sync + 'static>(self, value: T) -> Self {
        Self { principal: self.principal.with_value(value), ..self }
    }

    /// The identity holds for this time from now on. A server closes a session whose identity has expired.
    #[must_use]
    pub fn expires_in(self, time: Duration) -> Self {
        Self { expires: now().checked_add(time), ..self }
    }

    /// As [`Self::expires_in`], until this time of the system's clock, for instance the `exp` of a token. Later changes
    /// of the clock do not count.
    #[must_use]
    pub fn expires_at(self, time: SystemTime) -> Self {
        self.expires_in(time.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// The principal.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How long the identity still holds; zero when it has expired, `None` if it does not expire.
    pub fn time_left(&self) -> Option<Duration> {
        self.expires.map(|at| at.saturating_duration_since(now()))
    }

    pub(crate) fn expires(&self) -> Option<Instant> {
        self.expires
    }
}

impl From<Principal> for Identity {
    fn from(principal: Principal) -> Self {
        Self::new(principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_type_and_not_shown() {
        let ada = Principal::from("ada").with_value("a secret");
        assert_eq!((ada.value::<&str>(), ada.value::<u32>()), (Some(&"a secret"), None));
        assert_eq!(format!("{ada:?}"), "Principal(\"ada\")");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_left_goes_down_to_zero() {
        let second = Duration::from_secs(1);
        let ada = Identity::new("ada").expires_in(second * 10);
        tokio::time::advance(second * 4).await;
        assert_eq!(ada.time_left(), Some(second * 6));
        tokio::time::advance(second * 40).await;
        assert_eq!(ada.time_left(), Some(Duration::ZERO));
        assert_eq!(Identity::new("ada").expires_at(SystemTime::UNIX_EPOCH).time_left(), Some(Duration::ZERO));
        assert_eq!(Identity::new("ada").expires_in(Duration::MAX).time_left(), None, "beyond all times");
    }
}
