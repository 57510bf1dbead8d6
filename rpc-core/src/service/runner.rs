//! `Runner`: holds and polls a handler's future.

use std::{
    fmt,
    task::{Context, Poll},
};

use tokio_util::sync::ReusableBoxFuture;

use super::HandlerOutput;
use crate::{
    contract::MethodDescriptor,
    panics::{Panicked, catch, let_go},
    peer::{CurrentCall, enter},
    status::Status,
};

/// Holds one handler's future. The memory of the future is used again for the next call of the same method.
#[derive(Default)]
pub struct Runner {
    future: Option<ReusableBoxFuture<'static, Result<HandlerOutput, Status>>>,
    started: bool,
}

impl Runner {
    /// Puts the future that `make` makes in place. The future is made in the frame of this function: without
    /// optimization, a function that starts one of several methods would have room for the futures of all of them.
    pub fn start_with<F>(&mut self, make: impl FnOnce() -> F)
    where
        F: Future<Output = Result<HandlerOutput, Status>> + Send + 'static,
    {
        self.start(make());
    }

    /// Puts a handler's future in place.
    pub fn start<F>(&mut self, future: F)
    where
        F: Future<Output = Result<HandlerOutput, Status>> + Send + 'static,
    {
        match &mut self.future {
            Some(place) => place.set(future),
            None => self.future = Some(ReusableBoxFuture::new(future)),
        }
        self.started = true;
    }

    /// Whether there is a future that has not ended.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// Polls the handler as a part of its call. A panic ends the handler with a status that does not carry the panic's
    /// message.
    pub(crate) fn poll(
        &mut self,
        serving: &CurrentCall,
        method: &'static MethodDescriptor,
        cx: &mut Context<'_>,
    ) -> Poll<Result<HandlerOutput, Status>> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(Err(Status::internal("the method has no handler")));
        };
        match catch(|| enter(serving, || future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => {
                self.started = false;
                Poll::Ready(result)
            }
            Err(Panicked) => {
                self.discard();
                let (contract, name) = (method.contract(), method.name());
                tracing::error!(contract, method = name, "a method panicked");
                Poll::Ready(Err(Status::internal(format!("{contract}.{name} panicked"))))
            }
        }
    }

    /// Drops the future, and catches a panic of its drop.
    pub(crate) fn discard(&mut self) {
        let future = self.future.take();
        self.started = false;
        let_go(future, "a handler");
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("started", &self.started).finish_non_exhaustive()
    }
}
