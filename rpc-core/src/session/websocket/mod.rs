//! The WebSocket as a transport: one binary message is one packet, and hostile input ends the link with the right close
//! code.

mod failure;
mod framing;
mod metered;
mod transport;

#[cfg(test)]
mod tests;

pub use transport::WebSocket;
