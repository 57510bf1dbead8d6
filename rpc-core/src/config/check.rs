//! Which values work: one table of all fields, and what fields need of each other.

use std::{ops::Deref, sync::Arc, time::Duration};

use super::{Config, ConfigError, ConfigValue, HANDSHAKE, MAX_DEPTH, MIN_BULK, MIN_CHUNK, PACKET_OVERHEAD};

/// A [`Config`] of which every value works. Cheap to clone; reads like a `Config`.
///
/// ```
/// use rpc_core::{CheckedConfig, Config};
///
/// let mut config = Config::default();
/// config.max_calls = 10;
/// let checked = CheckedConfig::try_from(config)?;
/// assert_eq!(checked.max_calls, 10);
/// # Ok::<(), rpc_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CheckedConfig(Arc<Config>);

impl Config {
    /// Whether every value works, alone and beside the others. Servers, clients and sessions ask this themselves.
    ///
    /// # Errors
    ///
    /// The first value that does not work, with the least or greatest that does.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (field, given, least, greatest) in self.fields() {
            if less(given, least) {
                return Err(ConfigError::TooSmall { field, given, least });
            }
            if less(greatest, given) {
                return Err(ConfigError::TooLarge { field, given, greatest });
            }
        }
        self.check_relations()
    }

    fn check_relations(&self) -> Result<(), ConfigError> {
        const OVERHEAD: u64 = PACKET_OVERHEAD as u64;
        let [chunk, metadata] = [self.chunk, self.max_metadata].map(|bytes| bytes as u64);
        let frame = ["chunk", "max_metadata"];
        let frame_len = chunk + metadata + OVERHEAD;
        self.must_fit("max_packet", chunk + OVERHEAD, &["chunk"])?;
        self.must_fit("max_packet", chunk + metadata + OVERHEAD / 2, &frame)?;
        self.must_fit("outbox_soft", frame_len, &frame)?;
        self.must_fit("outbox_hard", self.outbox_soft as u64 + frame_len, &["outbox_soft", "chunk", "max_metadata"])?;
        self.must_fit("max_stream_window", self.stream_window as u64, &["stream_window"])?;
        self.must_fit("max_unacked_bulk", self.unacked_bulk as u64, &["unacked_bulk"])?;
        // Three quarters of `session_memory` must hold this call beside `outbox_hard`.
        let call = (self.max_payload as u64 + metadata).saturating_add(frame_len);
        let memory = call.saturating_add(self.outbox_hard as u64).saturating_add(4) / 3;
        self.must_fit("session_memory", memory.saturating_mul(4), &["max_payload", "max_metadata", "outbox_hard"])
    }

    /// A field must have at least the value `least`, because of `others`.
    fn must_fit(&self, field: &'static str, least: u64, others: &[&'static str]) -> Result<(), ConfigError> {
        let (given, least) = (self.value(field), ConfigValue::Count(least));
        if less(given, least) {
            let beside = others.iter().map(|&other| (other, self.value(other))).collect();
            return Err(ConfigError::Unfit { field, given, least, beside });
        }
        Ok(())
    }

    fn value(&self, name: &str) -> ConfigValue {
        let found = self.fields().into_iter().find(|(field, ..)| *field == name);
        found.map_or(ConfigValue::Count(0), |(_, value, ..)| value)
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

impl TryFrom<Config> for CheckedConfig {
    type Error = ConfigError;

    fn try_from(mut config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let call_timeout = config.call_timeout;
        for time in config.times() {
            *time = (*time).min(FOR_EVER);
        }
        // `Duration::MAX` stays: calls have no deadline then, and the other side is told of none.
        config.call_timeout = call_timeout;
        Ok(Self(Arc::new(config)))
    }
}

impl Deref for CheckedConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0
    }
}

/// Longer times than this are for ever, and a clock can add it to any time.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What the wire and the budgets count.
const MOST: u64 = u32::MAX as u64;
/// What a semaphore counts, which is less where pointers are small.
const PERMITS: u64 = if MOST < usize::MAX as u64 >> 3 { MOST } else { usize::MAX as u64 >> 3 };
const ANY: u64 = u64::MAX;
const ZERO: Duration = Duration::ZERO;
const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// All fields, with the least and the greatest value of each count, and the least of each time. While a field of
/// [`Config`] is missing here, this does not compile.
macro_rules! fields {
    (counts { $($count:ident: $least:expr, $greatest:expr;)* } times { $($time:ident: $shortest:expr;)* }) => {
        const FIELDS: usize = [$(stringify!($count),)* $(stringify!($time)),*].len();
        const TIMES: usize = [$(stringify!($time)),*].len();

        impl Config {
            /// Name, value, least and greatest.
            fn fields(&self) -> [(&'static str, ConfigValue, ConfigValue, ConfigValue); FIELDS] {
                let Self { $($count,)* $($time),* } = self;
                [
                    $((
                        stringify!($count),
                        count(*$count),
                        ConfigValue::Count($least as u64),
                        ConfigValue::Count($greatest),
                    ),)*
                    $((
                        stringify!($time),
                        ConfigValue::Time(*$time),
                        ConfigValue::Time($shortest),
                        ConfigValue::Time(Duration::MAX),
                    ),)*
                ]
            }

            fn times(&mut self) -> [&mut Duration; TIMES] {
                [$(&mut self.$time),*]
            }
        }
    };
}

fn count(value: impl TryInto<u64>) -> ConfigValue {
    ConfigValue::Count(value.try_into().unwrap_or(u64::MAX))
}

fields! {
    counts {
        max_packet: MIN_CHUNK + PACKET_OVERHEAD, GIB;
        max_handshake: HANDSHAKE, GIB;
        max_payload: 256, MOST;
        max_assembly: 1, MOST;
        max_arguments: 0, MOST;
        max_payload_nesting: 1, 255;
        max_payload_values: 2, MOST;
        max_payload_containers: 1, MOST;
        // The greatest chunk and the most metadata fit the greatest packet and outbox together.
        chunk: MIN_CHUNK, 64 * MIB;
        max_calls: 1, MOST;
        nested_calls: 1, MOST;
        max_oneway_calls: 1, MOST;
        max_no_cancel: 1, ANY;
        max_depth: 0, u64::from(MAX_DEPTH);
        max_streams: 0, MOST;
        stream_items: 1, MOST;
        stream_window: 1, MOST;
        max_stream_window: 1, MOST;
        streams_window: 1, MOST;
        outbox_soft: MIN_CHUNK + PACKET_OVERHEAD, PERMITS;
        outbox_hard: 2 * (MIN_CHUNK + PACKET_OVERHEAD), 2 * PERMITS;
        unacked_bulk: MIN_BULK, MOST;
        max_unacked_bulk: MIN_BULK, MOST;
        max_metadata: 0, 64 * MIB;
        session_memory: MIB, ANY;
        read_buffer: 512, MIB;
    }
    times {
        call_timeout: ms(1);
        nested_wait: ZERO;
        upgrade_timeout: ms(10);
        hello_timeout: ms(10);
        close_timeout: ms(1);
        hook_timeout: ms(1);
        keepalive: ms(1000);
        keepalive_timeout: ms(2000);
        progress_timeout: ms(1000);
        write_timeout: ms(1000);
        drain_grace: ZERO;
        drain_timeout: ZERO;
        slow_poll: ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(set: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        set(&mut config);
        config.check().expect_err("it is refused").to_string()
    }

    #[test]
    fn the_default_works() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn an_error_names_the_field_and_what_would_work() {
        let cases: [(String, &[&str]); 6] = [
            (refused(|c| c.keepalive = Duration::ZERO), &["Config::keepalive is 0ns", "1s is the least"]),
            (refused(|c| c.max_handshake = 1000), &["Config::max_handshake is 1000", "16384 is the least"]),
            (refused(|c| c.max_depth = 256), &["Config::max_depth is 256", "255 is the greatest"]),
            (
                refused(|c| c.chunk = 128 * 1024),
                &["131584 for Config::chunk of 131072", "raise Config::max_packet, or lower Config::chunk"],
            ),
            (refused(|c| c.max_metadata = 100_000), &["max_packet", "165792", "Config::max_metadata of 100000"]),
            (
                refused(|c| c.outbox_hard = 1 << 20),
                &["1122816 for Config::outbox_soft of 1048576, Config::chunk", "raise Config::outbox_hard"],
            ),
        ];
        for (message, parts) in cases {
            for part in parts {
                assert!(message.contains(part), "{part:?} in {message:?}");
            }
        }
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
            "ms" => ConfigValue::Time(ms(number)),
            _ => ConfigValue::Count(number),
        })
    }

    #[test]
    fn each_field_has_the_default_and_the_bounds_that_its_documentation_says() {
        let (mut docs, mut doc) = (Vec::new(), String::new());
        let (_, fields) = include_str!("mod.rs").split_once("pub struct Config {").expect("the struct is there");
        for line in fields.lines().take_while(|line| *line != "}").map(str::trim) {
            if let Some(text) = line.strip_prefix("/// ") {
                doc = doc + text + " ";
            } else if let Some(field) = line.strip_prefix("pub ") {
                docs.push((field.split(':').next().unwrap_or_default(), std::mem::take(&mut doc)));
            }
        }
        assert_eq!(docs.len(), FIELDS);
        let fields = Config::default().fields();
        for (field, doc) in docs {
            let known = fields.iter().find(|(name, ..)| *name == field).expect("the field is in the table");
            let (_, default, least, greatest) = *known;
            assert_eq!(said(&doc, "Default "), Some(default), "{field}: {doc}");
            for (word, bound) in [("at least ", least), ("at most ", greatest)] {
                assert_eq!(said(&doc, word).unwrap_or(bound), bound, "{field}: {doc}");
            }
        }
    }

    #[test]
    fn times_beyond_thirty_years_are_for_ever() {
        let config = Config { keepalive: Duration::MAX, call_timeout: Duration::MAX, ..Config::default() };
        let checked = CheckedConfig::try_from(config).unwrap();
        assert_eq!((checked.keepalive, checked.call_timeout), (FOR_EVER, Duration::MAX));
    }
}
