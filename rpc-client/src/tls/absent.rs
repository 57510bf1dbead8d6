//! What stands in for TLS where the program is built without it, so that dialling needs no second form.

use std::io;

use rpc_core::TlsInfo;

use crate::error::ConnectError;

/// This type has no value.
#[derive(Clone, Debug)]
pub(crate) enum Tls {}

pub(crate) type TlsStream<IO> = IO;

impl Tls {
    pub(crate) async fn of_platform(authority: &str) -> Result<Self, ConnectError> {
        let why = "this program is built without TLS; add the feature `tls` of rpc-client in its Cargo.toml";
        Err(ConnectError::Tls { authority: authority.to_owned(), why: why.to_owned() })
    }

    #[allow(clippy::unused_async, reason = "as with TLS")]
    pub(crate) async fn connect<IO>(
        &self,
        _host: &str,
        _authority: &str,
        _stream: IO,
    ) -> Result<(TlsStream<IO>, TlsInfo), ConnectError> {
        match *self {}
    }
}

pub(crate) fn explain(_error: &io::Error) -> Option<String> {
    None
}
