//! Code around calls: the [`Interceptor`] trait, and interceptors that are ready made.

pub use crate::peer::{CallInfo, ChainLink, Direction, Interceptor, Next, Reply};
