//! `ConfigError`: which value of a `Config` cannot work, and which would.

use std::{error, fmt, time::Duration};

/// A value of a [`Config`](super::Config) that cannot work. Nothing was started.
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
    /// A value works alone, and is less than what others need of it.
    Unfit {
        /// The field, as it is called in [`Config`](super::Config).
        field: &'static str,
        /// Its value.
        given: ConfigValue,
        /// The least value that works beside the others.
        least: ConfigValue,
        /// The fields that it must fit, with their values.
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
