//! `Negotiated`: what both ends have agreed on in the handshake.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    config::{Config, MAX_CONTRACTS, MAX_DEPTH, MIN_CHUNK, PACKET_OVERHEAD},
    error::{HandshakeViolation, ProtocolError},
    text::MAX_PEER_TEXT,
    wire::{HostedContract, MAX_NESTING, PeerLimits, WithheldContract},
};

/// The longest header of a packet.
const HEADER: u64 = 18;

/// What follows from the other side's announcement and from this side's configuration. All of it is computed once, when
/// Hello or Welcome has come. Until then this end assumes a peer that announces the same limits as this end.
///
/// A chunk always fits into a packet: [`Self::new`] refuses an announcement that says otherwise.
#[derive(Debug)]
pub(super) struct Negotiated {
    /// The announced limits. The depth is cut to [`MAX_DEPTH`], so that a table by depth stays small.
    pub(super) limits: Arc<PeerLimits>,
    /// The contracts that the other side hosts.
    pub(super) contracts: Box<[HostedContract]>,
    /// At a client: the contracts that the server does not offer to it.
    pub(super) withheld: Box<[WithheldContract]>,
    /// The longest payload that goes out in one frame: the lower limit of both sides.
    pub(super) chunk: usize,
    /// Bytes that the frames of one packet to the other side may take.
    pub(super) packet: usize,
    /// Bytes that metadata, a status or a message to the other side may have: they share a packet with a chunk.
    pub(super) text: usize,
    /// The longest fault that a stream to the other side may end with.
    pub(super) stream_fault: usize,
    /// Streams that may be open to the other side. They take memory here too, so the other side's word alone does not
    /// decide.
    pub(super) streams: usize,
}

impl Negotiated {
    /// What holds before the other side has announced anything.
    pub(super) fn assumed(config: &Config) -> Self {
        Self::derive(config, Arc::new(own_limits(config)), Vec::new())
    }

    /// What holds after the other side has announced these limits and contracts.
    pub(super) fn new(
        config: &Config,
        limits: &PeerLimits,
        contracts: Vec<HostedContract>,
    ) -> Result<Self, ProtocolError> {
        let PeerLimits { chunk, packet, .. } = *limits;
        if chunk < MIN_CHUNK as u64 || packet < chunk.saturating_add(PACKET_OVERHEAD as u64) {
            return Err(HandshakeViolation::UnfitChunk { chunk, packet }.into());
        }
        if contracts.len() > MAX_CONTRACTS {
            return Err(HandshakeViolation::TooManyContracts { count: contracts.len(), max: MAX_CONTRACTS }.into());
        }
        let limits = PeerLimits { depth: limits.depth.min(MAX_DEPTH), ..limits.clone() };
        Ok(Self::derive(config, shared(limits), contracts))
    }

    /// The window that the other side has set for the streams among a method's arguments, or 0.
    pub(super) fn argument_window(&self, method: u32) -> u32 {
        find_window(self.contracts.iter().flat_map(|contract| &contract.windows), method)
    }

    fn derive(config: &Config, limits: Arc<PeerLimits>, contracts: Vec<HostedContract>) -> Self {
        let chunk = config.chunk().min(size(limits.chunk));
        let beside_chunk = limits.packet.saturating_sub((chunk + PACKET_OVERHEAD / 2) as u64);
        Self {
            chunk,
            packet: size(limits.packet.saturating_sub(HEADER)),
            text: config.max_metadata().min(MAX_PEER_TEXT).min(size(beside_chunk)),
            stream_fault: chunk.min(size(limits.payload)),
            streams: limits.streams.min(config.max_streams()) as usize,
            limits,
            contracts: contracts.into(),
            withheld: Box::default(),
        }
    }
}

/// The window of a method's argument streams among `windows`; 0 if there is none.
pub(super) fn find_window<'a>(windows: impl IntoIterator<Item = &'a (u32, u32)>, method: u32) -> u32 {
    windows.into_iter().find(|(of, _)| *of == method).map_or(0, |(_, bytes)| *bytes)
}

/// What this side announces: the limits by the names of the protocol, from the fields of [`Config`].
pub(super) fn own_limits(config: &Config) -> PeerLimits {
    PeerLimits {
        calls: config.max_calls(),
        nested: config.nested_calls(),
        notifies: config.max_oneway_calls(),
        depth: config.max_depth(),
        payload: config.max_payload() as u64,
        assembly: config.max_assembly() as u64,
        arguments: config.max_arguments() as u64,
        packet: config.max_packet() as u64,
        chunk: config.chunk() as u64,
        streams: config.max_streams(),
        stream_items: config.stream_items(),
        stream_bytes: config.stream_window() as u64,
        streams_bytes: config.streams_window() as u64,
        nesting: config.max_payload_nesting().min(MAX_NESTING) as u64,
        values: config.max_payload_values() as u64,
        containers: config.max_payload_containers() as u64,
    }
}

/// These limits, in the memory of another session if the last peer has announced the same. The peers of a program are
/// alike, most often.
fn shared(limits: PeerLimits) -> Arc<PeerLimits> {
    static LAST: Mutex<Option<Arc<PeerLimits>>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some(last) if **last == limits => Arc::clone(last),
        _ => Arc::clone(last.insert(Arc::new(limits))),
    }
}

/// A length that the other side announced, as a `usize`.
fn size(announced: u64) -> usize {
    usize::try_from(announced).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(change: impl Fn(&mut PeerLimits)) -> Result<Negotiated, ProtocolError> {
        let config = Config::default();
        let mut limits = own_limits(&config);
        change(&mut limits);
        Negotiated::new(&config, &limits, Vec::new())
    }

    #[test]
    fn a_peer_with_equal_limits_changes_nothing() {
        let (before, after) = (Negotiated::assumed(&Config::default()), announced(|_| ()).unwrap());
        assert_eq!(before.limits, after.limits);
        let numbers = |it: &Negotiated| [it.chunk, it.packet, it.text, it.stream_fault, it.streams];
        assert_eq!(numbers(&before), numbers(&after));
    }

    #[test]
    fn the_lower_limit_of_both_sides_counts() {
        let config = Config::default();
        let less = announced(|limits| (limits.chunk, limits.streams) = (MIN_CHUNK as u64, 1)).unwrap();
        assert_eq!((less.chunk, less.stream_fault, less.streams), (MIN_CHUNK, MIN_CHUNK, 1));
        let more = announced(|limits| {
            (limits.chunk, limits.packet, limits.streams) = (u64::MAX / 2, u64::MAX, u32::MAX);
        });
        let more = more.unwrap();
        assert_eq!((more.chunk, more.streams), (config.chunk(), config.max_streams() as usize));
    }

    #[test]
    fn a_fault_and_a_text_are_within_what_the_other_side_takes() {
        assert_eq!(announced(|limits| limits.payload = 10).unwrap().stream_fault, 10);
        let overhead = PACKET_OVERHEAD as u64;
        let tight = announced(|limits| limits.packet = limits.chunk + overhead).unwrap();
        assert_eq!(tight.text, Config::default().max_metadata().min(MAX_PEER_TEXT).min(PACKET_OVERHEAD / 2));
        assert!(tight.packet >= tight.chunk + tight.text);
    }

    #[test]
    fn chunks_that_are_too_short_or_fit_no_packet_are_refused() {
        assert!(announced(|limits| limits.chunk = MIN_CHUNK as u64 - 1).is_err());
        assert!(announced(|limits| limits.packet = limits.chunk + PACKET_OVERHEAD as u64 - 1).is_err());
        assert!(announced(|limits| (limits.chunk, limits.packet) = (u64::MAX, u64::MAX - 1)).is_err());
    }

    #[test]
    fn the_depth_is_cut_to_what_the_tables_hold() {
        assert_eq!(announced(|limits| limits.depth = u32::MAX).unwrap().limits.depth, MAX_DEPTH);
    }
}
