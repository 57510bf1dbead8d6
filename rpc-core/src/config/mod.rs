//! `Config`: every limit and every time of a session, by name.

mod builder;
mod check;
mod error;
mod fields;

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

pub use builder::ConfigBuilder;
pub use error::{ConfigError, ConfigValue};

use fields::Values;

/// A side hosts no more contracts than this.
pub(crate) const MAX_CONTRACTS: usize = 256;
/// A chunk has at least this many bytes.
pub(crate) const MIN_CHUNK: usize = 256;
/// A packet holds a chunk and at least this many bytes more.
pub(crate) const PACKET_OVERHEAD: usize = 512;
/// Deeper nesting is not counted.
pub(crate) const MAX_DEPTH: u32 = 255;
/// What either end may send before the handshake is done, in all (`docs/protocol.md`, section 4).
pub(crate) const HANDSHAKE: usize = 16 * 1024;
/// With less bulk under way than this, the sender would wait for acks that come only after a time: other acks come
/// every 64 KiB.
pub(crate) const MIN_BULK: usize = 128 * 1024;

/// The limits and times of one end of a session. Cheap to clone.
///
/// Every queue has a bound. The bounds that a program may have reason to change are settings here; the others are
/// constants, and `docs/limits.md` lists them. The limits on what this side *takes in* are announced to the other side
/// in the handshake. The other side then waits at its own end and does not run into the limits. Start from the defaults
/// and change what you must:
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::Config;
///
/// let config = Config::builder().call_timeout(Duration::from_secs(5)).max_payload(16 * 1024 * 1024).build()?;
/// assert_eq!(config.max_payload(), 16 * 1024 * 1024);
/// assert_eq!(config.max_calls(), Config::default().max_calls());
/// # Ok::<(), rpc_core::ConfigError>(())
/// ```
///
/// Every value of a `Config` works, alone and beside the others: [`ConfigBuilder::build`] refuses a value that cannot
/// work, with a [`ConfigError`] that names the setting and the least or greatest value that does. Nothing is raised or
/// lowered in silence. A setting of bytes or a count takes at most 4,294,967,295 (bytes: 4 GiB), unless its
/// documentation says otherwise. A time has no greatest value: `Duration::MAX` is for ever, and so is any time beyond
/// 30 years, which a clock could not add to the present time. A configuration shows such a time as 30 years, and a
/// `call_timeout` as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    values: Arc<Values>,
}

/// All share one copy: there may be many clients, each of which makes a configuration of its own.
impl Default for Config {
    fn default() -> Self {
        static VALUES: LazyLock<Arc<Values>> = LazyLock::new(Arc::default);
        Self { values: VALUES.clone() }
    }
}

impl Config {
    /// A builder that begins with the defaults.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// A builder that begins with the values of this configuration.
    pub fn to_builder(&self) -> ConfigBuilder {
        ConfigBuilder { values: (*self.values).clone() }
    }

    /// After how much silence this end pings: soon enough for an answer before its own patience is over.
    pub(crate) fn ping_interval(&self) -> Duration {
        self.keepalive().min(self.keepalive_timeout() / 2)
    }

    /// What this end would like of a session.
    #[cfg(feature = "session")]
    pub(crate) fn resumability(&self) -> crate::proto::Resumability {
        crate::proto::Resumability { window: self.resume_window(), replay_buffer: self.replay_buffer() }
    }

    /// The bytes of incoming data that a session may hold.
    pub(crate) fn memory_in(&self) -> usize {
        (self.session_memory() / 4 * 3).saturating_sub(self.outbox_hard())
    }

    /// The bytes of outgoing data that transfers may hold.
    #[cfg(feature = "session")]
    pub(crate) fn transfer_memory(&self) -> usize {
        self.session_memory() / 8
    }

    /// The bytes of outgoing data that items of streams may hold.
    pub(crate) fn item_memory(&self) -> usize {
        self.session_memory() / 16
    }

    /// The bytes of buffers that calls may keep while they wait, because they are small parts of these buffers; and as
    /// much again for results.
    pub(crate) fn kept_memory(&self) -> usize {
        self.session_memory() / 32
    }

    /// The length of a buffer in which a transport may have read many packets: its read buffer has grown if there was a
    /// long packet among them.
    pub(crate) fn packet_buffer(&self) -> usize {
        self.read_buffer().max(32 * 1024)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.debug("Config", f)
    }
}
