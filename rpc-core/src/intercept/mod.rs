//! Code around calls: the [`Interceptor`] trait, and interceptors that are ready made.

mod concurrency_limit;
mod timeout_cap;
mod trace_context;
mod tracing;

pub use concurrency_limit::ConcurrencyLimit;
pub use timeout_cap::TimeoutCap;
pub use trace_context::TraceContext;
pub use tracing::Tracing;

pub use crate::peer::{CallInfo, ChainLink, Direction, Interceptor, Next, Reply};
