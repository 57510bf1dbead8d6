//! The headers that a program adds to a handshake.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{dial::forbids, error::ConnectError};

/// Adds a header, unless it is not valid or the handshake forbids it.
pub(crate) fn with_header(mut headers: HeaderMap, name: &str, value: &str) -> Result<HeaderMap, ConnectError> {
    let bad = |why: String| ConnectError::Header { name: name.to_owned(), why };
    let valid_name = HeaderName::try_from(name).map_err(|error| bad(error.to_string()))?;
    if let Some(why) = forbids(&valid_name) {
        return Err(bad(why.to_owned()));
    }
    let valid =
        HeaderValue::try_from(value).map_err(|_| bad("its value has bytes that a header may not have".into()))?;
    headers.append(valid_name, valid);
    Ok(headers)
}
