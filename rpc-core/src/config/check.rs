//! Which values work: each alone, and what fields need of each other.

use super::{
    ConfigError, ConfigValue, PACKET_OVERHEAD,
    fields::{Entry, Values},
};

/// How many times `max_handshake` must go into `session_memory`.
const HANDSHAKE_PART: u64 = 16;

/// A field must have at least the value `least`, because of `others`.
struct Need {
    field: &'static str,
    least: u64,
    others: &'static [&'static str],
}

impl Values {
    /// The first value that does not work, alone or beside the others. The error gives the bound that follows from all
    /// values together: with this bound the field works, even if another field still needs a change.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let entries = self.entries();
        // Values that are too great come first, so that no other value has to fit one of them.
        for Entry { field, value: given, greatest, .. } in entries {
            if less(greatest, given) {
                return Err(ConfigError::TooLarge { field, given, greatest });
            }
        }
        let needs = self.needs();
        for Entry { field, value: given, least, .. } in entries {
            let need = needs.iter().filter(|need| need.field == field).max_by_key(|need| need.least);
            match need.map(|need| (need, ConfigValue::Count(need.least))) {
                Some((need, least_beside)) if less(least, least_beside) && less(given, least_beside) => {
                    let beside = need.others.iter().map(|&other| (other, self.value(other))).collect();
                    return Err(ConfigError::Unfit { field, given, least: least_beside, beside });
                }
                _ if less(given, least) => return Err(ConfigError::TooSmall { field, given, least }),
                _ => {}
            }
        }
        Ok(())
    }

    /// What fields need of each other.
    fn needs(&self) -> [Need; 8] {
        /// Only names of fields compile here.
        macro_rules! need {
            ($field:ident, $least:expr, [$($other:ident),+]) => {{
                let _ = (self.$field, $(self.$other),+);
                Need { field: stringify!($field), least: $least, others: &[$(stringify!($other)),+] }
            }};
        }

        const OVERHEAD: u64 = PACKET_OVERHEAD as u64;
        let [chunk, metadata] = [self.chunk, self.max_metadata].map(|bytes| bytes as u64);
        let frame_len = chunk + metadata + OVERHEAD;
        // Neither the session nor the server counts what strangers send, so that must stay a small part.
        let strangers = self.max_handshake as u64 * HANDSHAKE_PART;
        // Three quarters of `session_memory` must hold this call beside `outbox_hard`.
        let call = (self.max_payload as u64 + metadata).saturating_add(frame_len);
        let memory = call.saturating_add(self.outbox_hard as u64).saturating_add(4) / 3;
        [
            need!(max_packet, chunk + OVERHEAD, [chunk]),
            need!(max_packet, chunk + metadata + OVERHEAD / 2, [chunk, max_metadata]),
            need!(outbox_soft, frame_len, [chunk, max_metadata]),
            need!(outbox_hard, self.outbox_soft as u64 + frame_len, [outbox_soft, chunk, max_metadata]),
            need!(max_stream_window, self.stream_window as u64, [stream_window]),
            need!(max_unacked_bulk, self.unacked_bulk as u64, [unacked_bulk]),
            need!(session_memory, strangers, [max_handshake]),
            need!(session_memory, memory.saturating_mul(4), [max_payload, chunk, max_metadata, outbox_hard]),
        ]
    }

    fn value(&self, name: &str) -> ConfigValue {
        let found = self.entries().into_iter().find(|entry| entry.field == name);
        found.map_or(ConfigValue::Count(0), |entry| entry.value)
    }
}

/// Only values of one kind are ever compared.
fn less(a: ConfigValue, b: ConfigValue) -> bool {
    match (a, b) {
        (ConfigValue::Count(a), ConfigValue::Count(b)) => a < b,
        (ConfigValue::Time(a), ConfigValue::Time(b)) => a < b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{
        Config, ConfigBuilder,
        fields::{DOCS, LONGEST},
    };

    fn refused(set: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> String {
        set(Config::builder()).build().expect_err("it is refused").to_string()
    }

    #[test]
    fn the_default_works() {
        assert_eq!(Config::builder().build(), Ok(Config::default()));
    }

    #[test]
    fn an_error_names_the_field_and_what_would_work() {
        let cases: [(String, &[&str]); 10] = [
            (refused(|c| c.keepalive(Duration::ZERO)), &["Config::keepalive is 0ns", "1s is the least"]),
            (refused(|c| c.max_handshake(1000)), &["Config::max_handshake is 1000", "16384 is the least"]),
            (refused(|c| c.max_depth(256)), &["Config::max_depth is 256", "255 is the greatest"]),
            (
                refused(|c| c.chunk(128 * 1024)),
                &["139520 for Config::chunk of 131072 and Config::max_metadata of 8192", "raise Config::max_packet"],
            ),
            (
                refused(|c| c.chunk(128 * 1024).max_metadata(0)),
                &["131584 for Config::chunk of 131072", "raise Config::max_packet, or lower Config::chunk"],
            ),
            (refused(|c| c.max_metadata(100_000)), &["max_packet", "167840", "Config::max_metadata of 100000"]),
            (
                refused(|c| c.outbox_hard(1 << 20)),
                &["1124864 for Config::outbox_soft of 1048576, Config::chunk", "raise Config::outbox_hard"],
            ),
            (refused(|c| c.max_payload(0)), &["Config::max_payload is 0", "256 is the least"]),
            (
                refused(|c| c.max_handshake(5 << 20)),
                &["Config::session_memory is 67108864", "at least 83886080 for Config::max_handshake of 5242880"],
            ),
            (
                refused(|c| c.chunk(40 << 20).max_packet(50 << 20).outbox_soft(50 << 20).outbox_hard(100 << 20)),
                &[
                    "Config::session_memory",
                    "Config::max_payload of",
                    "Config::chunk of 41943040",
                    "Config::outbox_hard",
                ],
            ),
        ];
        for (message, parts) in cases {
            for part in parts {
                assert!(message.contains(part), "{part:?} in {message:?}");
            }
        }
    }

    /// Builds, with the bound that each error gives in place of the value that was refused.
    fn mend(mut config: ConfigBuilder) -> Vec<&'static str> {
        let mut mended = Vec::new();
        while let Err(error) = config.clone().build() {
            let (ConfigError::TooSmall { field, least: bound, .. }
            | ConfigError::Unfit { field, least: bound, .. }
            | ConfigError::TooLarge { field, greatest: bound, .. }) = error;
            mended.push(field);
            config.values.set(field, bound);
        }
        mended
    }

    #[test]
    fn the_bound_of_an_error_works_at_once() {
        let defaults = Values::default().entries();
        for Entry { field, least, greatest, .. } in defaults {
            let smallest = match least {
                ConfigValue::Count(_) => ConfigValue::Count(0),
                ConfigValue::Time(_) => ConfigValue::Time(Duration::ZERO),
            };
            for value in [smallest, least, greatest] {
                let mut config = Config::builder();
                config.values.set(field, value);
                let mended = mend(config);
                let mut once = mended.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(mended.len(), once.len(), "{field} of {value}: {mended:?}");
                assert!(value != smallest || mended.iter().all(|mended| *mended == field), "{field}: {mended:?}");
            }
        }
        assert_eq!(mend(Config::builder().max_packet(1)), ["max_packet"]);
        let all = ["chunk", "max_packet", "outbox_soft", "outbox_hard", "session_memory"];
        assert_eq!(mend(Config::builder().chunk(1 << 30).max_packet(1)), all);
    }

    /// The value that the documentation of a field gives after `word`, if that is a plain number, with a unit or none.
    fn said(doc: &str, word: &str) -> Option<ConfigValue> {
        let (_, rest) = doc.split_once(word)?;
        let mut words = rest.split([' ', ';']);
        let number: u64 = words.next()?.trim_end_matches(['.', ',']).replace(',', "").parse().ok()?;
        Some(match words.next()?.trim_end_matches(['.', ',']) {
            "KiB" => ConfigValue::Count(number << 10),
            "MiB" => ConfigValue::Count(number << 20),
            "GiB" => ConfigValue::Count(number << 30),
            "s" => ConfigValue::Time(Duration::from_secs(number)),
            "ms" => ConfigValue::Time(Duration::from_millis(number)),
            _ => ConfigValue::Count(number),
        })
    }

    #[test]
    fn each_field_has_the_default_and_the_bounds_that_its_documentation_says() {
        let entries = Values::default().entries();
        for ((name, doc), Entry { field, value: default, least, greatest }) in DOCS.into_iter().zip(entries) {
            assert_eq!(name, field);
            let doc = format!("{doc} ");
            assert_eq!(said(&doc, "Default "), Some(default), "{field}: {doc}");
            let natural = match default {
                ConfigValue::Count(_) => (ConfigValue::Count(0), ConfigValue::Count(u32::MAX.into())),
                ConfigValue::Time(_) => (ConfigValue::Time(Duration::ZERO), ConfigValue::Time(Duration::MAX)),
            };
            let is_natural = (least == natural.0, !less(greatest, natural.1));
            for (word, bound, is_natural) in [("at least ", least, is_natural.0), ("at most ", greatest, is_natural.1)]
            {
                // Where no number follows, the documentation names another field.
                assert!(is_natural || doc.contains(word), "{field}: {doc}");
                assert_eq!(said(&doc, word).unwrap_or(bound), bound, "{field}: {doc}");
            }
        }
    }

    #[test]
    fn times_beyond_thirty_years_are_for_ever() {
        let config = Config::builder().keepalive(Duration::MAX).call_timeout(Duration::MAX).build().unwrap();
        assert_eq!((config.keepalive(), config.call_timeout()), (LONGEST, Duration::MAX));
    }
}
