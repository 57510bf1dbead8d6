//! A fleet of devices, and operators who run commands on groups of them; see `main.rs` for its commands.

mod contract;
mod demo;
mod depot;
mod device;
mod terminal;

pub use contract::{Card, Change, Control, ControlClient, Device, Fleet, FleetClient, Operator, Refusal, Report};
pub use demo::demo;
pub use depot::Depot;
pub use device::{Machine, enroll};
pub use terminal::{Line, Terminal, run, watch};
