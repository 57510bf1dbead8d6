//! What tests of several folders share.

mod cable;
mod random;

pub(crate) use cable::Cable;
pub(crate) use random::Random;
