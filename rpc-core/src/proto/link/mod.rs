//! `Link`: what belongs to one transport, and not to the session that it carries.

mod liveness;
mod progress;

use std::{
    collections::VecDeque,
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    config::Config,
    error::ProtocolError,
    proto::{
        acks::AckSchedule,
        bulk::BulkWindow,
        handshake_bytes::HandshakeBytes,
        pings::PING_BURST,
        rare::Rarely,
        sequence::Sequence,
        timers::{LinkTimer, LinkTimers},
        writer::PacketWriter,
    },
    wire::{Frame, Hello, PacketHeader, put_frame, put_header},
};

use liveness::Liveness;
use progress::Progress;
pub(super) use progress::{BACKLOG, BACKLOG_PROGRESS};

/// While payloads or items wait for acks, this much must be acknowledged in each period.
pub(super) const MIN_ACKED: usize = 64 * 1024;

/// What ends with one transport: its handshake, frames that are not counted, acks that are due, what is under way, and
/// the times and counts by which the other side is judged.
///
/// Nothing in here is needed to go on with the session elsewhere: ids, sequence numbers, calls, streams and what waits
/// to be sent are beside it in [`Connection`](super::Connection). All counts begin at 0 with the link. A server's link
/// begins before its session: the [`HelloReader`](super::HelloReader) that reads the Hello owns the link first. So does
/// a client's further link, with the [`WelcomeReader`](super::WelcomeReader).
#[derive(Debug)]
pub(crate) struct Link {
    /// Hello or Welcome, to be sent alone.
    pub(super) handshake: Option<Box<Frame>>,
    /// Ping, Pong and GoAway.
    pub(super) unsequenced: VecDeque<Frame>,
    /// The bytes that came before the Hello of a client, and with the Welcome of a server. At a server this count goes
    /// over to [`EarlyPackets`](super::EarlyPackets) with the Hello, and the link takes no more.
    pub(super) handshake_bytes: HandshakeBytes,
    /// How long the packet that is being taken in has waited for the verdict on its sender.
    pub(super) waited: Duration,
    /// At a server: bytes that may still come in packets that are too long, because the client may have sent them
    /// before it had the Welcome.
    pub(super) early_left: usize,
    /// How many rounds of reading in a row have left something unread.
    pub(super) full_rounds: u32,
    /// At the end of the last of them, many calls were under way.
    pub(super) was_busy: bool,
    /// Scratch: the packet that is being written. Empty between two of them.
    pub(super) packet: BytesMut,
    pub(super) acks: AckSchedule,
    /// Chunks and items that were sent on this link and not acknowledged.
    pub(super) bulk: BulkWindow,
    /// Bytes of bulk that must have been acknowledged when the timer for acks fires.
    ack_goal: u64,
    pub(super) liveness: Liveness,
    pub(super) progress: Progress,
    pub(super) timers: LinkTimers,
}

impl Link {
    /// A link that begins now, with the frame that this side has to say first.
    pub(super) fn new(config: &Config, handshake: Option<Frame>, now: Instant) -> Self {
        let mut timers = LinkTimers::default();
        let hello_timeout = config.hello_timeout();
        // The client, which speaks first, waits a little longer: a server with the same setting then has the time to
        // say why it gives up.
        let longer = if handshake.is_some() { hello_timeout / 10 } else { Duration::ZERO };
        timers.set(LinkTimer::Handshake, now + hello_timeout + longer);
        Self {
            handshake: handshake.map(Box::new),
            unsequenced: VecDeque::new(),
            handshake_bytes: HandshakeBytes::new(config.max_handshake()),
            waited: Duration::ZERO,
            early_left: 0,
            full_rounds: 0,
            was_busy: false,
            packet: BytesMut::new(),
            acks: AckSchedule::default(),
            bulk: BulkWindow::new(config.unacked_bulk(), config.max_unacked_bulk()),
            ack_goal: 0,
            liveness: Liveness::new(now),
            progress: Progress::default(),
            timers,
        }
    }

    /// Judges silence from now on, because the handshake is done.
    pub(super) fn open(&mut self, config: &Config, now: Instant) {
        self.timers.stop(LinkTimer::Handshake);
        self.timers.set(LinkTimer::Ping, now + config.ping_interval());
        self.timers.set(LinkTimer::Silence, now + config.keepalive_timeout());
    }

    /// Stops judging the peer. What waits may still go out.
    pub(super) fn end(&mut self) {
        self.timers.stop_all();
    }

    /// Throws away what has not been sent.
    pub(super) fn discard_output(&mut self) {
        self.unsequenced.clear();
        self.handshake = None;
    }

    /// Whether a frame waits that is not counted.
    pub(super) fn has_output(&self) -> bool {
        self.handshake.is_some() || !self.unsequenced.is_empty()
    }

    /// Frees the memory that is kept for further packets.
    pub(super) fn trim(&mut self) {
        if self.packet.is_empty() {
            self.packet = BytesMut::new();
        }
        self.bulk.trim();
    }

    /// Checks and counts a packet that came in. Whether it is sequenced follows from its number.
    #[inline]
    pub(super) fn handle_header(
        &mut self,
        sequence: &mut Sequence,
        header: PacketHeader,
        len: usize,
        now: Instant,
    ) -> Result<(), ProtocolError> {
        sequence.handle_ack(header.ack)?;
        self.bulk.handle_ack(header.ack, now);
        if header.seq != 0 {
            sequence.handle_number(header.seq)?;
            self.acks.note_received(len, now);
        }
        Ok(())
    }

    /// Notes how many bytes have come in since the link began, and whether a message has begun and not ended. The
    /// message must grow in each `period`.
    #[inline]
    pub(super) fn handle_activity(&mut self, now: Instant, received: u64, mid_message: bool, period: Duration) {
        if self.progress.note_received(received) {
            self.liveness.note_heard(now);
        }
        if !mid_message {
            self.timers.stop(LinkTimer::Message);
        } else if !self.timers.is_set(LinkTimer::Message) {
            self.progress.begin_message();
            self.timers.set(LinkTimer::Message, now + period);
        }
    }

    /// The timer of the message that is arriving has fired. True if the message is given up.
    pub(super) fn is_message_stuck(&mut self, now: Instant, period: Duration) -> bool {
        let has_moved = self.progress.has_message_grown();
        self.restart_or_give_up(now, LinkTimer::Message, has_moved, period)
    }

    /// Sets the timer for the next period if something has moved in this one. True if nothing has, and this is the
    /// second look, so that the link is given up.
    pub(super) fn restart_or_give_up(
        &mut self,
        now: Instant,
        timer: LinkTimer,
        has_moved: bool,
        period: Duration,
    ) -> bool {
        if has_moved {
            self.timers.set(timer, now + period);
        }
        !has_moved && !self.timers.look_again(timer, now)
    }

    /// Charges the control frames of the layer below, of which `seen` have come in since the link began.
    pub(super) fn charge_controls(&mut self, now: Instant, seen: u64) -> Result<(), ProtocolError> {
        if self.liveness.charge_controls(now, seen) { Ok(()) } else { Err(too_many_pings()) }
    }

    /// Charges a Ping, or a Pong that answers nothing.
    pub(super) fn charge_ping(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if self.liveness.charge_ping(now) { Ok(()) } else { Err(too_many_pings()) }
    }

    /// When a frame that may wait until `due` has to be written. One that cannot be written would be due for ever; it
    /// goes with the first write that can.
    #[inline]
    pub(super) fn unless_stuck(&self, due: Option<Instant>) -> Option<Instant> {
        if self.progress.is_stuck() { None } else { due }
    }

    /// When a bare ack is due.
    #[inline]
    pub(super) fn ack_due(&self) -> Option<Instant> {
        self.unless_stuck(self.acks.due())
    }

    /// The packet with Hello or Welcome, if that has not gone.
    #[inline]
    pub(super) fn write_handshake(&mut self) -> Option<Bytes> {
        let frame = self.handshake.take()?;
        Some(self.write_alone(&frame))
    }

    /// A packet with one frame of the handshake, in a buffer of its own: the link may say nothing else for long.
    pub(super) fn write_alone(&mut self, frame: &Frame) -> Bytes {
        let mut packet = BytesMut::new();
        put_header(&mut packet, PacketHeader { seq: 0, ack: 0 });
        put_frame(&mut packet, frame);
        packet.freeze()
    }

    /// The Hello, if it has not gone, to be changed.
    pub(super) fn hello_mut(&mut self) -> Option<&mut Hello> {
        match self.handshake.as_deref_mut() {
            Some(Frame::Hello(hello)) => Some(hello),
            _ => None,
        }
    }

    /// The Hello, if it has not gone.
    pub(super) fn take_hello(&mut self) -> Option<Box<Hello>> {
        self.handshake.take_if(|frame| matches!(**frame, Frame::Hello(_))).and_then(|frame| match *frame {
            Frame::Hello(hello) => Some(hello),
            _ => None,
        })
    }

    /// The packet with all other frames that are not counted, if there are any. `received` is the last packet taken in.
    #[inline]
    pub(super) fn write_unsequenced(&mut self, received: u64) -> Option<Bytes> {
        if self.unsequenced.is_empty() {
            return None;
        }
        self.put_unsequenced_header(received);
        for frame in self.unsequenced.drain(..) {
            put_frame(&mut self.packet, &frame);
        }
        Some(self.take_packet())
    }

    /// A packet that is nothing but an ack, if one is due.
    #[inline]
    pub(super) fn write_ack(&mut self, received: u64, now: Instant) -> Option<Bytes> {
        if self.acks.due().is_none_or(|due| due > now) {
            return None;
        }
        self.put_unsequenced_header(received);
        Some(self.take_packet())
    }

    fn put_unsequenced_header(&mut self, received: u64) {
        put_header(&mut self.packet, PacketHeader { seq: 0, ack: received });
        self.acks.note_sent();
    }

    /// Puts counted frames into the packet that is being written.
    #[inline]
    pub(super) fn writer<'a>(&'a mut self, sequence: &'a mut Sequence) -> PacketWriter<'a> {
        PacketWriter::new(&mut self.packet, sequence, &mut self.acks)
    }

    /// The packet that has been written.
    #[inline]
    pub(super) fn take_packet(&mut self) -> Bytes {
        self.packet.split().freeze()
    }

    /// Asks the other side for a sign of life.
    pub(super) fn ask(&mut self, now: Instant) {
        if let Some(token) = self.liveness.ask(now) {
            self.unsequenced.push_back(Frame::Ping { token });
        }
    }

    /// This machine has slept: asks the other side, which must be heard within this time.
    pub(super) fn wake(&mut self, now: Instant, limit: Duration) {
        self.ask(now);
        self.liveness.wake(now + limit);
        if let (Some((at, again)), Some(by)) = (self.timers.take(LinkTimer::Silence), self.liveness.wake_by()) {
            self.timers.restore(LinkTimer::Silence, at.min(by), again);
        }
    }

    /// Answers a Ping. The new Pong replaces one that still waits: one answer tells the other side that this one lives.
    pub(super) fn answer(&mut self, token: u64) {
        self.unsequenced.retain(|frame| !matches!(frame, Frame::Pong { .. }));
        self.unsequenced.push_back(Frame::Pong { token });
    }

    /// Bulk waits for acks: a period begins in which enough of them must come.
    pub(super) fn begin_ack_period(&mut self) {
        self.ack_goal = self.bulk.acked() + self.bulk.under_way().min(MIN_ACKED) as u64;
    }

    /// Whether too little bulk has been acknowledged in the period.
    pub(super) fn is_behind_acks(&self) -> bool {
        self.bulk.acked() < self.ack_goal
    }
}

/// What stands in the place of a link while there is none: nothing is heard, said or judged. Its times are never looked
/// at.
impl Rarely for Link {
    type Terms = ();

    fn none() -> &'static Self {
        static NONE: LazyLock<Link> = LazyLock::new(|| Link::begin(&()));
        &NONE
    }

    fn begin((): &()) -> Self {
        let mut link = Self::new(&Config::default(), None, Instant::now());
        link.end();
        link
    }

    fn can_go(&self, (): &mut ()) -> bool {
        false
    }
}

fn too_many_pings() -> ProtocolError {
    ProtocolError::TooManyPings { burst: PING_BURST }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> (Link, Instant) {
        let now = Instant::now();
        (Link::new(&Config::default(), None, now), now)
    }

    #[test]
    fn one_pong_answers_all_pings_that_wait() {
        let (mut link, now) = link();
        link.answer(1);
        link.ask(now);
        link.answer(2);
        assert_eq!(link.unsequenced, [Frame::Ping { token: 1 }, Frame::Pong { token: 2 }]);
    }

    #[test]
    fn every_packet_carries_the_ack_that_was_due() {
        let (mut link, now) = link();
        assert!(link.write_ack(0, now).is_none());
        link.acks.note_received(1 << 20, now);
        link.answer(1);
        assert!(link.write_unsequenced(1).is_some());
        assert!(link.write_ack(1, now).is_none(), "the Pong's packet has told it");
        link.acks.note_received(1 << 20, now);
        assert!(link.write_ack(2, now).is_some());
        assert_eq!(link.ack_due(), None);
    }

    #[test]
    fn a_link_that_is_stuck_owes_no_ack() {
        let (mut link, now) = link();
        link.acks.note_received(1 << 20, now);
        link.progress.set_stuck(true);
        assert_eq!(link.ack_due(), None);
        link.progress.set_stuck(false);
        assert_eq!(link.ack_due(), Some(now));
    }

    #[test]
    fn acks_are_behind_until_the_goal_of_the_period() {
        let (mut link, now) = link();
        link.bulk.count(1, MIN_ACKED, now);
        link.bulk.count(2, MIN_ACKED, now);
        link.begin_ack_period();
        assert!(link.is_behind_acks());
        link.bulk.handle_ack(1, now);
        assert!(!link.is_behind_acks());
    }
}
