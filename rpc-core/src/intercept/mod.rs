//! Code around calls: the [`Interceptor`] trait, and interceptors that are ready made.
//!
//! The trait and its types stand in `peer/intercept.rs`, below this floor, because the two places that run interceptors
//! need them: `peer/perform.rs` for calls that are made here, `service/handling.rs` for calls that are served here.

mod concurrency_limit;
mod retry;
mod timeout_cap;
mod trace_context;
mod tracing;

pub use concurrency_limit::ConcurrencyLimit;
pub use retry::Retry;
pub use timeout_cap::TimeoutCap;
pub use trace_context::TraceContext;
pub use tracing::Tracing;

pub use crate::peer::{CallInfo, ChainLink, Direction, Interceptor, Next, Reply, StreamOutcome, StreamSummary};
