//! `Authorizer`: who may call a method, by what its contract says.

use std::{fmt, sync::Arc};

use crate::{
    contract::{MethodDescriptor, RENEWAL},
    panics::{Panicked, catch},
    peer::Principal,
    status::Status,
};

/// Says whether a principal has a role.
pub(super) type Decide = dyn Fn(&Principal, &str) -> bool + Send + Sync;

/// Everybody may call a method with this role.
const ANYONE: &str = "*";

/// Decides who may call a method, by its `#[rpc(allow = "…")]`.
#[derive(Clone, Default)]
pub(super) struct Authorizer {
    decide: Option<Arc<Decide>>,
    /// Whether a method whose contract says nothing is refused.
    denies: bool,
}

impl Authorizer {
    pub(super) fn decide_by(&mut self, decide: Arc<Decide>) {
        self.decide = Some(decide);
    }

    pub(super) fn deny_by_default(&mut self) {
        self.denies = true;
    }

    /// The role that a caller of the method needs, and that nothing decides about.
    pub(super) fn undecided(&self, method: &MethodDescriptor) -> Option<&'static str> {
        method.allow().filter(|&role| role != ANYONE && self.decide.is_none())
    }

    /// Whether some callers may not call the method.
    #[inline]
    pub(super) fn guards(&self, method: &MethodDescriptor) -> bool {
        match method.allow() {
            None => self.denies,
            Some(role) => role != ANYONE,
        }
    }

    /// Checks that the caller may call the method. Runs users' code.
    pub(super) fn check(
        &self,
        method: &MethodDescriptor,
        principal: impl FnOnce() -> Option<Principal>,
    ) -> Result<(), Status> {
        if self.guards(method) { self.judge(method, method.allow(), principal()) } else { Ok(()) }
    }

    #[cold]
    fn judge(&self, method: &MethodDescriptor, role: Option<&str>, principal: Option<Principal>) -> Result<(), Status> {
        let Some(role) = role else {
            // The framework's own contract says nothing, and serves every client. No other contract has its name.
            if method.contract() == RENEWAL {
                return Ok(());
            }
            let message = format!(
                "{method} is closed to all callers: its contract does not say who may call it (#[rpc(allow = \"…\")])"
            );
            return Err(Status::permission_denied(message).not_executed());
        };
        let Some(principal) = principal else {
            let message = format!("{method} is for callers with the role `{role}`, and this caller is not known");
            return Err(Status::permission_denied(message).not_executed());
        };
        let allowed = match &self.decide {
            Some(decide) => catch(|| decide(&principal, role)),
            None => Ok(false),
        };
        match allowed {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message =
                    format!("{method} is for callers with the role `{role}`, which this caller does not have");
                Err(Status::permission_denied(message).not_executed())
            }
            Err(Panicked) => {
                tracing::error!(%method, "the authorizer panicked");
                Err(Status::internal(format!("it could not be decided who may call {method}")).not_executed())
            }
        }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("decides", &self.decide.is_some()).field("denies", &self.denies).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Code;

    static OPEN: MethodDescriptor = MethodDescriptor::new("C", "open", 0);
    static ANY: MethodDescriptor = MethodDescriptor::new("C", "any", 0).with_allow("*");
    static ADMIN: MethodDescriptor = MethodDescriptor::new("C", "admin", 0).with_allow("admin");
    static RESERVED: MethodDescriptor = MethodDescriptor::new(RENEWAL, "renew", 0);

    /// Which of the methods may be called.
    fn allowed(authorizer: &Authorizer, name: Option<&str>) -> [bool; 4] {
        [&OPEN, &ANY, &ADMIN, &RESERVED].map(|method| authorizer.check(method, || name.map(Principal::from)).is_ok())
    }

    #[test]
    fn the_contract_and_the_role_decide() {
        let mut authorizer = Authorizer::default();
        assert_eq!(authorizer.undecided(&ADMIN), Some("admin"));
        authorizer.decide_by(Arc::new(|principal: &Principal, role: &str| principal.name() == role));
        assert_eq!([&OPEN, &ANY, &ADMIN].map(|method| authorizer.undecided(method)), [None; 3]);
        assert_eq!(allowed(&authorizer, Some("admin")), [true; 4]);
        assert_eq!(allowed(&authorizer, Some("ada")), [true, true, false, true]);
        assert_eq!(allowed(&authorizer, None), [true, true, false, true]);
        authorizer.deny_by_default();
        assert_eq!(allowed(&authorizer, Some("admin")), [false, true, true, true]);
        assert_eq!(allowed(&authorizer, None), [false, true, false, true]);
    }

    #[test]
    fn a_panic_allows_nothing() {
        let mut authorizer = Authorizer::default();
        authorizer.decide_by(Arc::new(|_: &Principal, _: &str| panic!("the authorizer of a test panics")));
        let error = authorizer.check(&ADMIN, || Some("ada".into())).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert!(!error.message().contains("of a test"), "{error}");
    }
}
