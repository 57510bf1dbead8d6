//! The side of a device.

use std::time::{Duration, Instant};

use rpc_client::{Client, ConnectError, Reconnect, connect};

use crate::contract::{Card, Device, FleetClient, Refusal};

/// A device that knows two commands.
#[derive(Debug)]
pub struct Machine {
    /// When it was switched on.
    pub since: Instant,
}

impl Device for Machine {
    async fn run(&self, command: &str) -> Result<String, Refusal> {
        match command {
            "status" => Ok(format!("well, for {} s", self.since.elapsed().as_secs())),
            "test" => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok("passed".to_owned())
            }
            _ => Err(Refusal(format!("there is no command {command:?}; try status or test"))),
        }
    }
}

/// Connects a device, which enrolls in each of its sessions.
pub async fn enroll(url: &str, card: Card, device: impl Device) -> Result<Client, ConnectError> {
    connect(url)
        .callback(device.serve())
        // A device is not to be missing for longer than it must.
        .reconnect(Reconnect::default().initial_delay(Duration::from_millis(50)).max_delay(Duration::from_secs(1)))
        .on_session(move |session| {
            let card = card.clone();
            async move { Ok(session.client::<FleetClient>().enroll(card).await?) }
        })
        .await
}
