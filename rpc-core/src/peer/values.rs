//! `Values`: the typed values that an application keeps on a session.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::info::Facts;
use crate::panics;

/// The application's values of one session, one of each type.
///
/// No value is dropped under the lock, because its drop is users' code.
#[derive(Debug)]
pub(crate) struct Values(RwLock<Option<http::Extensions>>);

/// Drops the values of a session when it is dropped itself, and lets no later ones in.
#[derive(Debug)]
pub(crate) struct EndOfValues(Arc<Facts>);

impl Values {
    pub(super) fn new() -> Self {
        Self(RwLock::new(Some(http::Extensions::new())))
    }

    /// The older value of this type. After the end the new value is dropped.
    pub(super) fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let value = Arc::new(value);
        // Declared after `value`, so that the lock is returned before a value without a place is dropped.
        let mut values = self.write();
        values.as_mut()?.insert(value.clone())
    }

    pub(super) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.read().as_ref()?.get().cloned()
    }

    pub(super) fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.write().as_mut()?.remove()
    }

    fn end(&self) {
        let values = self.write().take();
        if let Some(values) = values {
            panics::let_go(values, "a value of a session");
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<http::Extensions>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<http::Extensions>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndOfValues {
    pub(crate) fn new(facts: &Arc<Facts>) -> Self {
        Self(facts.clone())
    }
}

impl Drop for EndOfValues {
    fn drop(&mut self) {
        self.0.values.end();
    }
}
