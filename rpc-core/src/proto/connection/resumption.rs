//! `Resumption`: what a session needs to outlive its link. The steps are in `links`, the packets that are sent again in
//! `replay`, the last words in `bye`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    error::{CloseCode, ConnectionError, TimeLimit, Timeout},
    proto::{kept_packets::KeptPackets, memory_pool::Share, pings::PingBudget, rare::Rare},
    wire::Resume,
};

use super::Role;

/// A timer that has run out costs a session its link, and the session itself if nothing like this many bytes is gained
/// before the timer runs out again.
const GAIN: u64 = 16 * 1024;

/// How long a session can be resumed, and what it may keep for that.
#[derive(Clone, Debug, Default)]
pub struct Resumability {
    /// How long after the loss of its link the session lives on.
    pub window: Duration,
    /// Bytes of packets, bulk apart, that may wait to be acknowledged, and of bulk as many again. One packet always
    /// may.
    pub replay_buffer: usize,
}

impl Resumability {
    /// The same, with a window that is not longer than this.
    #[cfg(feature = "session")]
    pub(crate) fn at_most(self, window: Duration) -> Self {
        Self { window: self.window.min(window), ..self }
    }
}

/// Everything about the links that a session has had, and may yet have. A session that ends with its link, as most do,
/// pays for a pointer alone.
#[derive(Debug, Default)]
pub(super) struct Resumption(Option<Box<Links>>);

/// What a session has that outlives its links, or would like to.
#[derive(Debug)]
pub(super) struct Links {
    /// How long the session lives without a link, in milliseconds, as the Welcome has said; 0 before that.
    window_ms: u64,
    /// The window that this side would like.
    asked_ms: u64,
    token: Box<[u8]>,
    /// The number of the link; 0 for the first.
    pub(super) epoch: u64,
    /// How often the client may come back at once, from the first time on.
    pub(super) resumes: Option<Box<PingBudget>>,
    /// Packets that the other side may not have.
    kept: Rare<KeptPackets>,
    /// The part of what all sessions keep to be resumed.
    pub(super) share: Option<Share>,
    /// The session has no link at the moment.
    detached: Option<Box<Detached>>,
    /// How long the session has been without a link, until its last link came.
    pub(super) away: Duration,
    /// The other side has sent something since the Welcome, so that it knows of the session.
    pub(super) is_known: bool,
    bye: Bye,
    /// The session has ended because its client cannot go on with it. A link that it still has is told so.
    pub(super) is_given_up: bool,
    /// What had been gained when each of these timers last cost the session its link.
    strikes: Option<Box<[Option<u64>; 2]>>,
    /// The last packet that was acknowledged when the current period of acks began.
    acked_before: u64,
}

/// The session has no link.
#[derive(Clone, Debug)]
pub(super) struct Detached {
    /// Since when.
    pub(super) since: Instant,
    /// How the last link was lost.
    pub(super) error: Arc<ConnectionError>,
    /// Calls that hold up other sessions do not wait for the next link any more.
    pub(super) ends_turns: bool,
}

/// The last counted frame of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bye {
    /// The session goes on, or has ended without a Bye.
    None,
    /// Goes behind all other frames.
    Waits,
    /// Went in this packet, and has not been acknowledged.
    Sent(u64),
    /// Nothing is said or awaited any more.
    Over,
}

/// The timers of the session that judge the other side over several links.
#[derive(Clone, Copy, Debug)]
pub(super) enum Strike {
    Assembly,
    Ack,
}

impl Resumption {
    /// This side would like the session to outlive its links. At a server `token` is what the client will show.
    pub(super) fn ask(&mut self, asked: &Resumability, token: &[u8]) {
        let asked_ms = u64::try_from(asked.window.as_millis()).unwrap_or(u64::MAX);
        self.0 = (asked_ms > 0).then(|| Box::new(Links::new(asked_ms, asked.replay_buffer, token)));
    }

    /// What this side would like, in milliseconds; 0 if the session may end with its link.
    pub(super) fn asked_ms(&self) -> u64 {
        self.0.as_ref().map_or(0, |links| links.asked_ms)
    }

    /// The token by which the session is resumed, if it can be.
    pub(super) fn token(&self) -> Option<&[u8]> {
        self.0.as_ref().map(|links| &*links.token).filter(|token| !token.is_empty())
    }

    /// Both sides agree that the session outlives its links, from the Welcome on; for this many milliseconds, or not at
    /// all if these are 0.
    pub(super) fn grant(&mut self, window_ms: u64) {
        match &mut self.0 {
            Some(links) if window_ms > 0 => links.window_ms = window_ms.min(links.asked_ms),
            _ => self.0 = None,
        }
    }

    /// Whether the session outlives its links.
    #[inline]
    pub(super) fn is_granted(&self) -> bool {
        self.granted().is_some()
    }

    /// What the session has that outlives its links.
    #[inline]
    pub(super) fn granted(&self) -> Option<&Links> {
        self.0.as_deref().filter(|links| links.window_ms > 0)
    }

    /// What the session has that outlives its links.
    #[inline]
    pub(super) fn granted_mut(&mut self) -> Option<&mut Links> {
        self.0.as_deref_mut().filter(|links| links.window_ms > 0)
    }

    /// The same, whether or not the other side has agreed yet.
    #[inline]
    pub(super) fn links_mut(&mut self) -> Option<&mut Links> {
        self.0.as_deref_mut()
    }

    /// How long the session lives without a link; zero if it ends with its link.
    pub(super) fn window(&self) -> Duration {
        self.granted().map_or(Duration::ZERO, |links| Duration::from_millis(links.window_ms))
    }

    /// The number of the link; 0 for the first.
    pub(super) fn epoch(&self) -> u64 {
        self.0.as_ref().map_or(0, |links| links.epoch)
    }

    /// The session has ended because its client cannot go on with it, and had a link then.
    pub(super) fn is_given_up(&self) -> bool {
        self.granted().is_some_and(|links| links.is_given_up)
    }

    /// Packets that the other side may not have.
    #[inline]
    pub(super) fn kept(&self) -> Option<&KeptPackets> {
        self.granted().map(|links| &*links.kept)
    }

    /// The same, if something has been kept of late.
    #[inline]
    pub(super) fn kept_mut(&mut self) -> Option<&mut KeptPackets> {
        self.granted_mut().and_then(|links| links.kept.get_mut())
    }

    /// What may be kept, in bytes; `None` if the session ends with its link.
    pub(super) fn most_kept(&self) -> Option<usize> {
        self.granted().map(|links| *links.kept.terms())
    }

    /// Keeps a packet that is handed to the transport now, if the session outlives its links; `bulk` of its bytes are
    /// bulk.
    #[inline]
    pub(super) fn keep(&mut self, seq: u64, packet: &Bytes, bulk: usize) -> bool {
        let Some(links) = self.granted_mut() else { return false };
        links.kept.keep(seq, packet, bulk);
        true
    }

    /// Frees memory that a busy time needed.
    pub(super) fn trim(&mut self) {
        if let Some(links) = &mut self.0 {
            links.kept.trim(KeptPackets::trim);
        }
    }

    /// Bytes of packets that the other side may not have.
    #[inline]
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept().map_or(0, KeptPackets::bytes)
    }

    /// Bytes of memory that the kept packets take.
    #[inline]
    pub(super) fn kept_memory(&self) -> usize {
        self.kept().map_or(0, KeptPackets::memory)
    }

    /// Whether packets are kept, or were forgotten, that the other side has not acknowledged. `acked` is the last one
    /// that it has.
    #[inline]
    pub(super) fn awaits_acks(&self, acked: u64) -> bool {
        self.kept().is_some_and(|kept| !kept.is_empty() || kept.forgotten() > acked)
    }

    /// Whether packets were forgotten that another side which has taken in those up to `received` does not have.
    pub(super) fn misses(&self, received: u64) -> bool {
        self.kept().is_some_and(|kept| kept.forgotten() > received)
    }

    /// The last packet that was acknowledged when the current period of acks began.
    pub(super) fn acked_before(&self) -> u64 {
        self.granted().map_or(0, |links| links.acked_before)
    }

    /// A period begins in which something has to be acknowledged beyond this packet.
    #[inline]
    pub(super) fn begin_ack_period(&mut self, acked: u64) {
        if let Some(links) = self.granted_mut() {
            links.acked_before = acked;
        }
    }

    /// Whether packets have to be sent again.
    #[inline]
    pub(super) fn has_again(&self) -> bool {
        self.kept().is_some_and(KeptPackets::has_again)
    }

    /// Since when the session has had no link, and how it lost the last one.
    #[inline]
    pub(super) fn detached(&self) -> Option<&Detached> {
        self.granted()?.detached.as_deref()
    }

    #[inline]
    pub(super) fn is_detached(&self) -> bool {
        self.detached().is_some()
    }

    /// Whether no packet goes that is counted and new: there is no link, or others have to be acknowledged or sent
    /// again before.
    #[inline]
    pub(super) fn holds_new_packets(&self) -> bool {
        self.granted().is_some_and(|links| links.detached.is_some() || links.kept.is_full() || links.kept.has_again())
    }

    /// Whether nothing that is counted may follow behind what has been sent already: others have to be acknowledged
    /// before, or the last counted frame has gone.
    #[inline]
    pub(super) fn is_silent(&self) -> bool {
        self.granted().is_some_and(|links| links.kept.is_full() || matches!(links.bye, Bye::Sent(_) | Bye::Over))
    }

    /// Whether a packet has to be sent again, or the last words wait.
    pub(super) fn has_output(&self) -> bool {
        self.granted().is_some_and(|links| links.kept.has_again() || links.bye == Bye::Waits)
    }

    /// How far the last words are.
    #[inline]
    pub(super) fn bye(&self) -> Bye {
        self.granted().map_or(Bye::None, |links| links.bye)
    }

    pub(super) fn set_bye(&mut self, bye: Bye) {
        if let Some(links) = self.granted_mut() {
            links.bye = bye;
        }
    }

    /// Whether the session goes on when its link ends like this. `role` is this side's, and `acked` the last packet
    /// that the other side has acknowledged.
    pub(super) fn survives(&self, error: &ConnectionError, role: Role, acked: u64) -> bool {
        let Some(links) = self.granted() else { return false };
        let is_known = links.is_known || links.epoch > 0 || role == Role::Client;
        is_known && links.kept.forgotten() <= acked && is_link_lost(error, role)
    }

    /// A timer that judges the other side has run out. True if that costs the session, because too little was `gained`
    /// since the timer cost it a link.
    pub(super) fn strike(&mut self, timer: Strike, gained: u64) -> bool {
        self.granted_mut().is_none_or(|links| links.strike(timer, gained))
    }
}

impl Links {
    fn new(asked_ms: u64, replay_buffer: usize, token: &[u8]) -> Self {
        Self {
            window_ms: 0,
            asked_ms,
            token: token.into(),
            epoch: 0,
            resumes: None,
            kept: Rare::new(replay_buffer),
            share: None,
            detached: None,
            away: Duration::ZERO,
            is_known: false,
            bye: Bye::None,
            is_given_up: false,
            strikes: None,
            acked_before: 0,
        }
    }

    /// What the client shows to resume the session.
    pub(super) fn set_token(&mut self, token: &[u8]) {
        self.token = token.into();
    }

    /// Calls that hold up other sessions do not wait for the next link any more.
    pub(super) fn end_turns(&mut self) {
        if let Some(detached) = &mut self.detached {
            detached.ends_turns = true;
        }
    }

    pub(super) fn kept(&self) -> &KeptPackets {
        &self.kept
    }

    /// Drops what is kept. The session cannot be resumed until the other side has acknowledged all of it.
    pub(super) fn forget(&mut self) {
        if let Some(kept) = self.kept.get_mut() {
            kept.forget();
        }
    }

    /// The link is lost. What is kept may have to be kept for long.
    pub(super) fn detach(&mut self, now: Instant, error: Arc<ConnectionError>) {
        if let Some(kept) = self.kept.get_mut() {
            kept.shrink();
        }
        self.detached = Some(Box::new(Detached { since: now, error, ends_turns: false }));
    }

    /// There is a link again, and what is kept goes again. Gives the time since which there was none, if so.
    pub(super) fn attach(&mut self) -> Option<Instant> {
        if let Some(kept) = self.kept.get_mut() {
            kept.begin_again();
        }
        self.detached.take().map(|detached| detached.since)
    }

    /// At a client: what the next link has to say. `received` is the number of the last packet that came in.
    pub(super) fn next_resume(&mut self, received: u64) -> Resume {
        self.epoch += 1;
        Resume { token: Bytes::copy_from_slice(&self.token), epoch: self.epoch, received }
    }

    fn strike(&mut self, timer: Strike, gained: u64) -> bool {
        let (index, least) = match timer {
            Strike::Assembly => (0, GAIN),
            Strike::Ack => (1, 1),
        };
        let before = self.strikes.get_or_insert_default()[index].replace(gained);
        before.is_some_and(|before| gained.saturating_sub(before) < least)
    }
}

/// Whether a link that ends like this takes no session with it. A session that can be resumed is over with a Bye, or
/// with one of the codes below.
pub(super) fn is_link_lost(error: &ConnectionError, role: Role) -> bool {
    match error {
        ConnectionError::Lost(_) | ConnectionError::Expired => true,
        ConnectionError::TimedOut(Timeout { limit, .. }) => !matches!(limit, TimeLimit::Close | TimeLimit::Drain),
        ConnectionError::ClosedByPeer { code, .. } => match *code {
            CloseCode::PROTOCOL
            | CloseCode::UNSUPPORTED
            | CloseCode::NOT_UTF8
            | CloseCode::POLICY_VIOLATION
            | CloseCode::TOO_BIG
            | CloseCode::REFUSED
            | CloseCode::REPLACED
            | CloseCode::GIVEN_UP => false,
            // A browser says it when its page goes.
            CloseCode::GOING_AWAY => role == Role::Client,
            _ => true,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests;
