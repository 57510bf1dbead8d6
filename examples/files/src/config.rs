//! What both ends agree on beside the contract.

use std::time::Duration;

use rpc_server::{Config, ConfigError};

/// The time for which a session waits for its client when the link is lost.
const AWAY: Duration = Duration::from_secs(30);

/// Settings with which sessions outlive their links, for the server and for its clients.
pub fn config() -> Result<Config, ConfigError> {
    Config::builder().resume_window(AWAY).build()
}
