//! `rpc.Session`: the reserved contract by which a client renews its identity within its session.

use crate::status::Status;

/// What a server that authenticates its clients hosts beside the contracts of the application.
#[rpc_macros::service(name = "rpc.Session", crate = "crate")]
pub trait Renewal {
    /// How many milliseconds the identity of the caller still holds; nil if it does not expire.
    #[rpc(idempotent, timeout = "10s")]
    async fn time_left(&self) -> Option<u64>;

    /// Shows a new credential. Returns what [`Self::time_left`] returns from then on. An error leaves the identity as
    /// it was.
    #[rpc(timeout = "10s")]
    async fn renew(&self, credential: &[u8]) -> Result<Option<u64>, Status>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contract::RENEWAL, peer::Stub};

    #[test]
    fn the_contract_has_its_reserved_name() {
        assert_eq!(RenewalClient::CONTRACT.name(), RENEWAL);
    }
}
