//! What a call must keep to before it begins: the limits of both ends on its metadata and arguments.

use std::cmp::Ordering;

use super::{current::is_opening, shared::SessionShared};
use crate::{
    config::PACKET_OVERHEAD,
    contract::MethodDescriptor,
    proto::counted_arguments,
    status::Status,
    wire::{MetadataPairs, metadata_size},
};

/// Checks that a call can begin. Returns the length of its metadata.
pub(super) fn check_call(shared: &SessionShared, metadata: &MetadataPairs) -> Result<usize, Status> {
    let (len, limit) = (metadata_size(metadata), shared.config.max_metadata());
    if len > limit {
        let message = format!(
            "the metadata of the call take {len} bytes, and this side sends {limit} at most (Config::max_metadata of this \
             side): send less, or raise it at both ends"
        );
        return Err(Status::invalid_argument(message).not_executed());
    }
    if is_opening(shared.id.number()) && !shared.look(|connection| connection.is_open()) {
        let message = "the session is not open before its `opened` hooks have returned, and this one waits for a call: spawn the call";
        return Err(Status::failed_precondition(message).not_executed());
    }
    Ok(len)
}

/// Checks the metadata, and arguments of this length, against the limits.
pub(super) fn check_arguments(
    shared: &SessionShared,
    method: &MethodDescriptor,
    metadata_len: usize,
    len: usize,
) -> Result<(), Status> {
    let Some(limits) = shared.limits() else { return Ok(()) };
    let chunk = limits.chunk.min(shared.config.chunk() as u64);
    // The metadata share a packet with up to one chunk of arguments.
    let spare = limits.packet.saturating_sub(chunk + PACKET_OVERHEAD as u64 / 2);
    if metadata_len as u64 > spare {
        let message = format!(
            "the metadata of the call take {metadata_len} bytes; the other side takes {spare} (Config::max_packet there)"
        );
        return Err(Status::invalid_argument(message).not_executed());
    }
    let counted = counted_arguments(len as u64, metadata_len);
    let arguments = limits.arguments.saturating_sub(metadata_len as u64);
    let (limit, raise) = match arguments.cmp(&limits.payload) {
        Ordering::Less if counted > 0 => (arguments, "Config::max_arguments"),
        Ordering::Equal if counted > 0 => (arguments, "Config::max_arguments and Config::max_payload"),
        _ => (limits.payload, "Config::max_payload"),
    };
    if len as u64 > limit {
        let (contract, name) = (method.contract(), method.name());
        let message = format!(
            "the arguments of {contract}.{name} are {len} bytes long, and the other side takes {limit} at most: send less at once, or raise {raise} there"
        );
        return Err(Status::out_of_range(message).not_executed());
    }
    Ok(())
}
