//! The WebSocket as a transport: one binary message is one packet, and hostile input ends the link with the right close
//! code.

mod failure;
mod framing;
mod metered;
mod pool;
mod socket;
#[cfg(feature = "raw")]
mod text_check;
mod transport;
mod unread;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "raw")]
pub(crate) use self::{
    failure::{failure, goodbye},
    metered::Metered,
    socket::{Socket, would_block},
};
pub(in crate::session) use pool::age as age_pool;
pub use transport::WebSocket;
