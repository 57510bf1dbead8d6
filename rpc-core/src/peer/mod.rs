//! A caller's view of the other end: handles, calls and their options.

mod budget;
mod call;
mod call_limits;
mod certificate;
mod client_sessions;
mod clock;
mod closing;
mod current;
mod destination;
mod draining;
mod driver_waker;
mod encode;
mod encoded;
mod handle;
mod info;
mod intercept;
mod life;
mod observer;
mod options;
mod output;
mod overflow_key;
mod perform;
mod performing;
mod plain_call;
mod principal;
mod queued_call;
mod sending;
mod session;
mod session_id;
mod session_link;
mod shared;
mod slow;
mod streams;
mod stub;
mod values;
mod watchdog;

pub(crate) use budget::{Need, Reservation, WaitingValue};
pub(crate) use call::{beyond_limit, unencodable};
pub use certificate::PeerCertificate;
pub use client_sessions::ClientSessions;
#[cfg(test)]
pub(crate) use clock::move_wall_clock;
pub(crate) use clock::{now, on_the_wall};
pub use closing::Closing;
pub use current::Scope;
pub(crate) use current::{CurrentCall, current, enter, enter_opening};
pub use draining::drain_together;
pub(crate) use encode::{encode_rope, scan_limits};
pub(crate) use encoded::deliver;
pub use handle::Peer;
pub use info::{ConnectionInfo, TlsInfo};
pub(crate) use info::{Facts, NextFacts};
pub use intercept::{CallInfo, ChainLink, Direction, Interceptor, Next, Reply};
pub(crate) use intercept::{End, run as run_interceptors};
pub(crate) use life::Life;
pub use observer::{CallOutcome, CallSummary, Observer, RefusedCall};
pub(crate) use observer::{ObservedCalls, Observers};
pub use options::CallOptions;
pub use output::{DecodeFault, Fallible, Output, Single, Streamed, decoded};
pub use overflow_key::OverflowKey;
pub use principal::{Identity, Principal};
pub(crate) use queued_call::{Policy, QueuedCalls};
pub(crate) use sending::FRAME as CALL_FRAME;
pub use session::{Session, SessionState, Stats};
pub use session_id::{ParseSessionIdError, SessionId};
pub(crate) use shared::SessionShared;
pub(crate) use slow::watch_poll;
pub use streams::{
    Binary, Closed, IntoStreaming, LaidValue, NoFault, StreamOutcome, StreamSender, StreamSummary, StreamWriter,
    StreamWriters, Streaming, Value,
};
pub(crate) use streams::{Decode, Encode, StreamReaders, StreamWatch, start as start_streams};
pub use stub::{CallsBack, ContextPeer, Stub};
pub(crate) use values::EndOfValues;
pub(crate) use watchdog::{Polled, Watched};
