//! The settings of admission, from the texts that a program gives.

use http::HeaderName;

use super::{Hosts, Origins, Proxies};
use crate::error::BuildError;

/// The origins of web pages that may connect.
pub(crate) fn origins(any: bool, allowed: Vec<String>) -> Result<Origins, BuildError> {
    let mut origins = Origins::default();
    if any {
        origins.allow_any();
    }
    for given in allowed {
        if let Err(why) = origins.allow(&given) {
            return Err(BuildError::Origin { given, why });
        }
    }
    Ok(origins)
}

/// The proxies that are believed about their clients.
pub(crate) fn proxies(trusted: Vec<String>) -> Result<Proxies, BuildError> {
    let mut proxies = Proxies::default();
    for given in trusted {
        if let Err(why) = proxies.trust(&given) {
            return Err(BuildError::TrustedProxy { given, why });
        }
    }
    Ok(proxies)
}

/// The names under which the server is reached.
pub(crate) fn hosts(allowed: Vec<String>) -> Result<Hosts, BuildError> {
    let mut hosts = Hosts::default();
    for given in allowed {
        if let Err(why) = hosts.allow(&given) {
            return Err(BuildError::Host { given, why });
        }
    }
    Ok(hosts)
}

/// The headers that sessions keep.
pub(crate) fn header_names(names: Vec<String>) -> Result<Vec<HeaderName>, BuildError> {
    let mut found = Vec::new();
    for given in names {
        match HeaderName::try_from(given.as_str()) {
            Ok(name) if !found.contains(&name) => found.push(name),
            Ok(_) => {}
            Err(_) => return Err(BuildError::HeaderName { given }),
        }
    }
    Ok(found)
}
