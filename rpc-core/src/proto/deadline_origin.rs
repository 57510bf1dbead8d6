//! `DeadlineOrigin` and `IdleTimeout`: what has set the times of a call, for the message of a call that exceeds them.

use std::time::{Duration, Instant};

use crate::contract::MethodDescriptor;

/// When a call began, and what has set its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineOrigin {
    /// When the call began, at its first attempt.
    pub begun: Instant,
    /// What has set the deadline.
    pub setting: DeadlineSetting,
}

/// How long the streams among a call's arguments may stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTimeout {
    /// The time.
    pub time: Duration,
    /// What has set it.
    pub setting: DeadlineSetting,
}

impl IdleTimeout {
    /// What a person has to change to change the time.
    pub(super) fn advice(self) -> &'static str {
        match self.setting {
            DeadlineSetting::Options => "CallOptions::idle_timeout",
            DeadlineSetting::Method => "idle_timeout of the method",
            DeadlineSetting::Config | DeadlineSetting::Served | DeadlineSetting::Interceptor => {
                "Config::call_timeout; a call that may pause for longer takes an `idle_timeout`, of its method or of CallOptions"
            }
        }
    }
}

/// What sets a time of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineSetting {
    /// The options of the stub.
    Options,
    /// The contract.
    Method,
    /// The configuration.
    Config,
    /// The deadline of the call in whose handler this one is made.
    Served,
    /// An interceptor of this side.
    Interceptor,
}

impl DeadlineSetting {
    /// What a person has to change to change the deadline.
    fn name(self) -> &'static str {
        match self {
            Self::Options => "CallOptions::timeout",
            Self::Method => "timeout of the method",
            Self::Config => "Config::call_timeout",
            Self::Served => "what was left of the deadline of the call in whose handler it was made",
            Self::Interceptor => "an interceptor of this side",
        }
    }
}

/// The message of a call that has reached its deadline: `what` has not happened in time.
#[cold]
pub(super) fn too_late(
    method: Option<&MethodDescriptor>,
    origin: Option<DeadlineOrigin>,
    deadline: Option<Instant>,
    what: &str,
) -> String {
    let call = method.map_or_else(|| "the call".to_owned(), ToString::to_string);
    let (Some(DeadlineOrigin { begun, setting }), Some(deadline)) = (origin, deadline) else {
        return format!("{call}: {what} before its deadline");
    };
    let time = deadline.saturating_duration_since(begun);
    // With any other setting, the time that was left is no round number.
    let time = match setting {
        DeadlineSetting::Served => Duration::from_millis(time.as_millis().try_into().unwrap_or(u64::MAX)),
        _ => time,
    };
    format!("{call}: {what} within {time:?} ({})", setting.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_call_the_time_and_the_setting() {
        static METHOD: MethodDescriptor = MethodDescriptor::new("Guest", "confirm", 0);
        let begun = Instant::now();
        let message = |setting, micros| {
            let deadline = begun + Duration::from_micros(micros);
            too_late(Some(&METHOD), Some(DeadlineOrigin { begun, setting }), Some(deadline), "no answer came")
        };
        let config = message(DeadlineSetting::Config, 100_000);
        assert_eq!(config, "Guest.confirm: no answer came within 100ms (Config::call_timeout)");
        let served = message(DeadlineSetting::Served, 1_999_999);
        assert!(served.contains("within 1.999s (what was left of the deadline of the call"), "{served}");
    }
}
