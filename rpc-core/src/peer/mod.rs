//! The other end, as seen by a caller: handles, calls and what they carry along.

mod budget;
mod call;
mod current;
mod encode;
mod handle;
mod info;
mod options;
mod output;
mod session;
mod shared;
mod stub;

pub(crate) use budget::Reservation;
pub use current::Scope;
pub(crate) use current::{current, enter};
pub(crate) use encode::{encode, scan_limits};
pub use handle::Peer;
pub use info::ConnectionInfo;
pub use options::CallOptions;
pub use output::{Binary, Fallible, Output, Value};
pub use session::{Session, SessionState, Stats};
pub(crate) use shared::{Life, Shared, now};
pub use stub::Stub;
