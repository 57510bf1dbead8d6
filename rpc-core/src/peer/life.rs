//! `Life`: the stage of a session, and the tasks that wait for a stage.

use std::{
    fmt,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::error::ConnectionError;

/// The stage of a session, for tasks that wait for a stage.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    Connecting,
    Open,
    /// One side has begun to shut down.
    Draining {
        /// False if this side drains, and serves nothing any more.
        serving: bool,
    },
    /// The end has come, and the link is being closed.
    Closing(ConnectionError),
    Over(ConnectionError),
}

impl Life {
    pub(super) fn stage(&self) -> u8 {
        match self {
            Self::Connecting => 0,
            Self::Open => 1,
            Self::Draining { .. } => 2,
            Self::Closing(_) => 3,
            Self::Over(_) => 4,
        }
    }
}

/// The stage, and who waits. A `watch` channel takes 400 bytes, which every idle session would pay.
pub(super) struct LifeCell {
    life: Mutex<Life>,
    changed: Notify,
}

impl LifeCell {
    pub(super) fn new(life: Life) -> Self {
        Self { life: Mutex::new(life), changed: Notify::new() }
    }

    pub(super) fn get(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the stage. All who wait look again if `change` says that there is something to see.
    pub(super) fn change(&self, change: impl FnOnce(&mut Life) -> bool) {
        let is_news = change(&mut self.get());
        if is_news {
            self.changed.notify_waiters();
        }
    }

    /// Waits until the stage satisfies `reached`.
    pub(super) async fn reach(&self, mut reached: impl FnMut(&Life) -> bool) -> Life {
        loop {
            let mut changed = pin!(self.changed.notified());
            // A change after this look is not missed.
            changed.as_mut().enable();
            {
                let life = self.get();
                if reached(&life) {
                    return life.clone();
                }
            }
            changed.await;
        }
    }
}

impl fmt::Debug for LifeCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
