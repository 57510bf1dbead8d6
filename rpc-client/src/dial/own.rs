//! `OwnStream`: a stream that the application has opened by itself.

use std::{io, pin::Pin, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

/// What a stream of the application must be able to do.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Stream for IO {}

/// A stream that the application has opened by itself.
pub(crate) type OwnStream = Box<dyn Stream>;

/// A function of the application that opens streams.
pub(crate) type Opener = Arc<dyn Fn() -> Opening + Send + Sync>;
type Opening = Pin<Box<dyn Future<Output = io::Result<OwnStream>> + Send>>;
