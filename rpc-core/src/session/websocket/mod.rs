//! The WebSocket as a transport: one binary message is one packet, and hostile input ends the link with the right close
//! code.

mod failure;
mod framing;
mod metered;
#[cfg(feature = "raw")]
mod text_check;
mod transport;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "raw")]
pub(crate) use self::{
    failure::{failure, goodbye},
    metered::Metered,
};
pub use transport::WebSocket;
