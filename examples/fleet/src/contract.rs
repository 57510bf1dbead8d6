//! The contracts: one pair for devices, another for operators.

use std::fmt;

use rpc_server::{Context, Status, Streaming};
use serde::{Deserialize, Serialize};

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub site: String,
    /// What it is.
    pub model: String,
}

/// Why a device does not run a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Hosted by a device, called by the server.
#[rpc_server::callback(group)]
pub trait Device {
    /// Runs a command, and returns what it says.
    async fn run(&self, command: &str) -> Result<String, Refusal>;
}

/// Hosted by the server, for devices.
#[rpc_server::service(callback = Device)]
pub trait Fleet {
    /// Puts the calling device into the groups `all`, `site/…` and `model/…`.
    async fn enroll(&self, cx: &Context<DeviceClient>, card: Card) -> Result<(), Status>;
}

/// Hosted by an operator's terminal, called by the server.
#[rpc_server::callback]
pub trait Operator {
    /// A question to the operator, before a command runs.
    async fn confirm(&self, question: &str) -> bool;
}

/// Hosted by the server, for operators.
#[rpc_server::service(callback = Operator)]
pub trait Control {
    /// Runs a command on all devices of a group, if the operator agrees. Reading no further stops those that run it.
    async fn run(&self, cx: &Context<OperatorClient>, group: &str, command: &str) -> Result<Streaming<Report>, Status>;

    /// Who is in a group, and what changes.
    async fn watch(&self, cx: &Context<OperatorClient>, group: &str) -> Streaming<Change>;
}

/// What comes of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The first report: the names of the devices that were asked.
    Asked(Vec<String>),
    /// A device has run the command, and says this.
    Answered(String, String),
    /// A device has not, for this reason.
    Failed(String, String),
}

/// Who comes to a group and goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The devices in the group, each with whether it is away. This replaces what was known before.
    Present(Vec<(String, bool)>),
    /// There are too many devices for a list.
    Crowd(usize),
    /// A device has come.
    Came(String),
    /// A device has lost its link, and may come back.
    Away(String),
    /// It is back.
    Back(String),
    /// A device has left, for this reason.
    Gone(String, String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(devices) if devices.is_empty() => write!(f, "no device is here"),
            Self::Present(devices) => {
                let name =
                    |(name, is_away): &(String, bool)| format!("{name}{}", if *is_away { " (away)" } else { "" });
                write!(f, "here: {}", devices.iter().map(name).collect::<Vec<_>>().join(", "))
            }
            Self::Crowd(devices) => write!(f, "{devices} devices are here"),
            Self::Came(name) => write!(f, "{name} has come"),
            Self::Away(name) => write!(f, "{name} is away"),
            Self::Back(name) => write!(f, "{name} is back"),
            Self::Gone(name, why) => write!(f, "{name} is gone: {why}"),
        }
    }
}
