//! `ConfigBuilder`: builds a configuration.

use std::{fmt, sync::Arc};

use super::{Config, ConfigError, fields::Values};

/// Builds a configuration: [`Config::builder`] begins with the defaults, and [`Config::to_builder`] with the values of
/// a given configuration. Each setting of [`Config`] has a setter of the same name; [`build`](Self::build) makes the
/// configuration.
///
/// ```
/// use rpc_core::Config;
///
/// let patient = Config::builder().max_calls(10).progress_timeout(std::time::Duration::MAX).build()?;
/// let generous = patient.to_builder().max_calls(100).build()?;
/// assert_eq!(patient.progress_timeout(), generous.progress_timeout());
/// # Ok::<(), rpc_core::ConfigError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use = "a configuration is made by `build`"]
pub struct ConfigBuilder {
    pub(super) values: Values,
}

impl ConfigBuilder {
    /// Makes the configuration.
    ///
    /// # Errors
    ///
    /// The first value that cannot work, alone or beside the others, with the least or greatest that does. Nothing is
    /// raised or lowered in silence.
    pub fn build(self) -> Result<Config, ConfigError> {
        self.values.check()?;
        let call_timeout = self.values.call_timeout;
        // `Duration::MAX` stays: calls have no deadline then, and the other side is told of none.
        Ok(Config { values: Arc::new(Values { call_timeout, ..self.values.bounded() }) })
    }
}

impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.debug("ConfigBuilder", f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_defaults_are_one_copy() {
        assert!(Arc::ptr_eq(&Config::default().values, &Config::default().values));
        assert_eq!(Config::builder().build(), Ok(Config::default()));
    }

    #[test]
    fn a_configuration_begins_another_and_stays_as_it_is() {
        let config = Config::builder().keepalive(Duration::MAX).max_calls(7).build().unwrap();
        assert_eq!(config.to_builder().build(), Ok(config.clone()));
        let other = config.to_builder().max_calls(8).build().unwrap();
        assert_eq!((config.max_calls(), other.max_calls()), (7, 8));
        assert_eq!(other.keepalive(), config.keepalive());
    }
}
