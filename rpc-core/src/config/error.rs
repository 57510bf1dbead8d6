//! `ConfigError`: which value of a `Config` cannot work, and which value would.

use std::{error, fmt, time::Duration};

/// A value that cannot work in a [`Config`](super::Config), as
/// [`ConfigBuilder::build`](super::ConfigBuilder::build) finds.
///
/// ```
/// use rpc_core::{Config, ConfigError};
///
/// let error = Config::builder().max_depth(1000).build().unwrap_err();
/// assert!(matches!(error, ConfigError::TooLarge { field: "max_depth", .. }));
/// assert_eq!(error.to_string(), "Config::max_depth is 1000, and 255 is the greatest that works; lower it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is less than the least that works.
    TooSmall {
        /// The field, as it is called in [`Config`](super::Config).
        field: &'static str,
        /// Its value.
        given: ConfigValue,
        /// The least value that works.
        least: ConfigValue,
    },
    /// A value is greater than the greatest that works.
    TooLarge {
        /// The field, as it is called in [`Config`](super::Config).
        field: &'static str,
        /// Its value.
        given: ConfigValue,
        /// The greatest value that works.
        greatest: ConfigValue,
    },
    /// A value is less than other values need.
    Unfit {
        /// The field, as it is called in [`Config`](super::Config).
        field: &'static str,
        /// Its value.
        given: ConfigValue,
        /// The least value that works beside the others.
        least: ConfigValue,
        /// The other fields that the value must fit, with their values.
        beside: Vec<(&'static str, ConfigValue)>,
    },
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigValue {
    /// Bytes, or how many of something.
    Count(u64),
    /// A time.
    Time(Duration),
}

impl ConfigError {
    /// The field whose value does not work, as it is called in [`Config`](super::Config).
    pub fn field(&self) -> &'static str {
        match self {
            Self::TooSmall { field, .. } | Self::TooLarge { field, .. } | Self::Unfit { field, .. } => field,
        }
    }
}

impl fmt::Display for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Time(time) => write!(f, "{time:?}"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { field, given, least } => {
                write!(f, "Config::{field} is {given}, and {least} is the least that works; raise it")
            }
            Self::TooLarge { field, given, greatest } => {
                write!(f, "Config::{field} is {given}, and {greatest} is the greatest that works; lower it")
            }
            Self::Unfit { field, given, least, beside } => {
                write!(f, "Config::{field} is {given}, and must be at least {least} for ")?;
                for (index, (other, value)) in beside.iter().enumerate() {
                    let and = match index {
                        0 => "",
                        _ if index + 1 == beside.len() => " and ",
                        _ => ", ",
                    };
                    write!(f, "{and}Config::{other} of {value}")?;
                }
                write!(f, "; raise Config::{field}, or lower ")?;
                match beside.as_slice() {
                    [(other, _)] => write!(f, "Config::{other}"),
                    _ => f.write_str("what needs it"),
                }
            }
        }
    }
}

impl error::Error for ConfigError {}
