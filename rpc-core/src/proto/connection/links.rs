//! A session loses its link, and goes on over another one. What it keeps for that is in `resumption`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Connection, ConnectionError, Phase, Resumability, Role, SessionTimer,
    closing::Flush,
    resumption::{Links, Strike, is_link_lost},
};
use crate::{
    error::{CloseCode, HandshakeViolation},
    proto::{
        Event, Newcomer, Welcomed,
        handshake::{hello, resumed},
        link::Link,
        pings::PingBudget,
        rare::Rare,
    },
    wire::{Hello, HostedContract, Resume},
};

/// Whether a client that wants to go on with a session may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeVerdict {
    /// It may: [`Connection::attach`] follows.
    Possible,
    /// The session has had this link or a newer one. The link has to be closed.
    Stale,
    /// The session cannot go on from there, and has to end.
    Impossible,
    /// The session is over.
    Over,
}

impl Connection {
    /// Before the session is open: it is to outlive its links, if the other side agrees. At a server `token` is what
    /// the client will show to resume the session; a client gets it from the server.
    pub fn make_resumable(&mut self, resumability: Resumability, token: &[u8]) {
        if self.life.phase != Phase::Handshake {
            return;
        }
        self.resumption.ask(&resumability, token);
        if let Some(hello) = self.link.hello_mut() {
            hello.resume_window_ms = self.resumption.asked_ms();
        }
    }

    /// The transport of the session's link has ended. A session that can be resumed waits for another link then, unless
    /// the error says that the session is over. Any other session ends.
    pub fn handle_lost(&mut self, now: Instant, error: ConnectionError) {
        if self.resumption.is_detached() {
            return;
        }
        let error = self.as_terminated(error);
        let goes_on = self.life.is_open() || self.is_lingering();
        if goes_on && self.survives(&error) {
            return self.go_without(now, error);
        }
        self.end(error, Flush::Nothing);
        self.end_bye();
        self.link = Rare::default();
    }

    /// This side gives the link up, for this reason. A session that does not outlive its links ends.
    pub(super) fn give_up_link(&mut self, now: Instant, error: ConnectionError, flush: Flush) {
        if self.resumption.is_detached() {
            return;
        }
        let error = self.as_terminated(error);
        if self.life.is_open() && self.survives(&error) {
            self.go_without(now, error);
        } else {
            self.end(error, flush);
        }
    }

    /// Whether the session, or its last words, wait for another link after this end of the present one.
    fn survives(&self, error: &ConnectionError) -> bool {
        !self.life.terminated_there && self.resumption.survives(error, self.role, self.sequence.acked())
    }

    /// How the session ends that loses its link like this. The other side has ended it in order if this side has taken
    /// in the reply of a method that does so: the goodbye alone was lost.
    pub(super) fn as_terminated(&self, error: ConnectionError) -> ConnectionError {
        if self.life.terminated_there && is_link_lost(&error, self.role) {
            ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: "".into() }
        } else {
            error
        }
    }

    /// A timer has run out that judges the other side over all of its links. The session loses its link, and ends when
    /// the timer runs out again, unless something was gained in between.
    pub(super) fn strike(&mut self, now: Instant, timer: Strike, error: ConnectionError) {
        let gained = match timer {
            Strike::Assembly => self.assembly.received(),
            Strike::Ack => self.sequence.acked(),
        };
        if self.resumption.strike(timer, gained) {
            self.end(error, Flush::Nothing);
        } else {
            self.give_up_link(now, error, Flush::Nothing);
        }
    }

    fn go_without(&mut self, now: Instant, error: ConnectionError) {
        self.link = Rare::default();
        let patience = self.patience_without_link();
        if let Some(links) = self.resumption.granted_mut() {
            links.detach(now, Arc::new(error.clone()));
        }
        if self.life.is_open() {
            if !self.has_bulk() && !self.resumption.awaits_acks(self.sequence.acked()) {
                // It may have been set for what has been acknowledged since.
                self.schedule.timers.stop(SessionTimer::Ack);
            }
            self.schedule.pause(now);
            self.calls.hold_back(true);
            if let Some(until) = now.checked_add(self.config.detached_turn()) {
                self.schedule.timers.set(SessionTimer::DetachedTurn, until);
            }
            if let Some(until) = now.checked_add(patience) {
                self.schedule.timers.set(SessionTimer::Detached, until);
            }
        }
        self.count_memory();
        self.output.emit(Event::Detached(error));
        if self.life.is_open() {
            // It may be long before anything is needed again.
            self.trim();
        }
        // There may be many such sessions, each of which holds little.
        self.settle_kept();
    }

    /// How long this end keeps a session without a link. By then the server, which may notice the loss of a link later
    /// than its client, has given the session up as well.
    fn patience_without_link(&self) -> Duration {
        let later = match self.role {
            Role::Client => self.config.keepalive_timeout(),
            Role::Server => Duration::ZERO,
        };
        self.resumption.window().saturating_add(later)
    }

    /// No link will follow the last one, so the session ends as that one did. False if the session has a link, or
    /// needs none any more.
    pub fn give_up_links(&mut self) -> bool {
        self.end_without_link(|_, error| error.clone())
    }

    /// As [`Self::give_up_links`], at a client whose server has begun another session.
    pub fn give_up_unresumed(&mut self, now: Instant) -> bool {
        self.end_without_link(|since, error| match error {
            ConnectionError::Lost(why) => {
                let away = now.saturating_duration_since(since).as_millis();
                let away = Duration::from_millis(u64::try_from(away).unwrap_or(u64::MAX));
                ConnectionError::Lost(format!(
                    "{why}; after {away:?} the server did not know this session any more: it was restarted, the \
                     time was over (Config::resume_window), or the session is not this client's"
                ))
            }
            other => other.clone(),
        })
    }

    /// Ends a session that has had no link since then, because the last one was lost like that, and needs one.
    fn end_without_link(&mut self, why: impl FnOnce(Instant, &ConnectionError) -> ConnectionError) -> bool {
        let Some((since, error)) = self.detached().filter(|_| !self.is_over()) else { return false };
        let error = why(since, error);
        self.end(error, Flush::Nothing);
        self.end_bye();
        true
    }

    /// Whether the session has ended, and has no last words that wait.
    pub fn is_over(&self) -> bool {
        self.life.has_ended() && !self.is_lingering()
    }

    /// Since when the session has had no link, and how the last one was lost.
    pub fn detached(&self) -> Option<(Instant, &ConnectionError)> {
        self.resumption.detached().map(|detached| (detached.since, &*detached.error))
    }

    /// How the last link was lost, if there is none.
    pub fn link_lost(&self) -> Option<&Arc<ConnectionError>> {
        self.resumption.detached().map(|detached| &detached.error)
    }

    /// The code with which the link is closed of a session that has ended for this reason; `None` if the link is lost.
    pub fn close_code(&self, error: &ConnectionError) -> Option<CloseCode> {
        match error {
            // To the other side of a session that can be resumed, other codes say that the link is lost.
            ConnectionError::TimedOut(_) | ConnectionError::Overloaded(_) if self.resumption.is_granted() => {
                Some(CloseCode::GIVEN_UP)
            }
            ConnectionError::Lost(_) => self.resumption.is_given_up().then_some(CloseCode::GIVEN_UP),
            _ => Some(error.close_code()),
        }
    }

    /// The token by which the session is resumed, if it can be.
    pub fn token(&self) -> Option<&[u8]> {
        self.resumption.token()
    }

    /// The number of the session's link: 0 for the first, and a higher one for each that follows. What comes from the
    /// transport of another link is not for the session any more.
    pub fn epoch(&self) -> u64 {
        self.resumption.epoch()
    }

    /// At a server: whether a client that says this may go on with the session. Tests nothing but the session's state:
    /// the shell has found the session by its token, and knows whose it is.
    pub fn judge_resume(&self, resume: &Resume) -> ResumeVerdict {
        if !self.resumption.is_granted() || self.is_over() {
            ResumeVerdict::Over
        } else if resume.epoch <= self.resumption.epoch() {
            ResumeVerdict::Stale
        } else if self.sequence.may_be_received(resume.received) && !self.resumption.misses(resume.received) {
            ResumeVerdict::Possible
        } else {
            ResumeVerdict::Impossible
        }
    }

    /// At a server: goes on over the link of this client, whose wish has been found
    /// [possible](ResumeVerdict::Possible). A link that the session still has is an older one, and is heeded no more.
    ///
    /// # Errors
    ///
    /// If it is not possible after all, or the client comes back more often than once a second, after ten times at
    /// once. The session is as it was, and the link is to be closed with this code.
    pub fn attach(&mut self, now: Instant, newcomer: Newcomer) -> Result<(), CloseCode> {
        let resume = newcomer.hello().resume.as_ref().ok_or(CloseCode::NORMAL)?;
        if self.judge_resume(resume) != ResumeVerdict::Possible {
            return Err(CloseCode::NORMAL);
        }
        // Each link costs what is sent again over it.
        let Some(links) = self.resumption.granted_mut() else { return Err(CloseCode::NORMAL) };
        if !links.resumes.get_or_insert_with(|| Box::new(PingBudget::new(now))).take(now) {
            return Err(CloseCode::TRY_AGAIN_LATER);
        }
        links.epoch = resume.epoch;
        let received = resume.received;
        let mut link = newcomer.link;
        link.handshake = Some(Box::new(resumed(self.sequence.received())));
        self.go_on(now, link, received);
        Ok(())
    }

    /// At a server: the session is over, because its client has come back from where it cannot go on.
    pub fn end_unresumed(&mut self) {
        let why = match self.resumption.misses(self.sequence.acked()) {
            true => "its client came back, and misses what has been forgotten (ServerBuilder::replay_total)",
            false => "its client came back from a position that it cannot have",
        };
        let why = || ConnectionError::Lost(why.to_owned());
        let error = self.resumption.detached().map_or_else(why, |detached| (*detached.error).clone());
        let has_link = !self.resumption.is_detached();
        if let Some(links) = self.resumption.granted_mut() {
            links.is_given_up = has_link;
        }
        self.end(error, Flush::Nothing);
        self.end_bye();
    }

    /// At a client whose session has no link: what is to be said on the next one. `None` if the session has a link,
    /// which would be deaf from now on, or is over.
    pub fn resume_hello(&mut self, contracts: Vec<HostedContract>) -> Option<Box<Hello>> {
        if !self.resumption.is_detached() || self.is_over() {
            return None;
        }
        let mut hello = hello(&self.config, contracts);
        let received = self.sequence.received();
        hello.resume = self.resumption.granted_mut().map(|links| links.next_resume(received));
        // A session that has ended needs its last words acknowledged, and no session in its place.
        hello.resume_window_ms = if self.life.has_ended() { 0 } else { self.resumption.asked_ms() };
        Some(hello)
    }

    /// At a client: goes on over a link on which the server has said that it resumes the session.
    ///
    /// # Errors
    ///
    /// If the server's position is impossible: it says that it has taken in what this side has never sent, or has not
    /// taken in what it has acknowledged. The session has ended then, and the link is to be closed for this reason. So
    /// is a link that comes when the session has ended and has no last words to be acknowledged.
    pub fn attach_to(&mut self, now: Instant, welcomed: Welcomed) -> Result<(), ConnectionError> {
        if let Some(error) = self.life.ended().filter(|_| !self.is_lingering()) {
            return Err(error.clone());
        }
        let received = welcomed.welcome().received;
        if !self.sequence.may_be_received(received) {
            let (acked, last) = (self.sequence.acked(), self.sequence.last_number());
            let violation = HandshakeViolation::ImpossiblePosition { received, acked, last };
            let error = ConnectionError::Protocol(violation.into());
            self.end(error.clone(), Flush::Nothing);
            self.end_bye();
            return Err(error);
        }
        let mut link = welcomed.link;
        link.acks.owe(now);
        self.go_on(now, link, received);
        Ok(())
    }

    /// Goes on over another link, at whose other end the packets up to `received` have been taken in.
    fn go_on(&mut self, now: Instant, link: Link, received: u64) {
        self.link = Rare::from(link);
        self.link.open(&self.config, now);
        self.bound_bulk();
        self.sequence.note_taken_in(received);
        self.queue.handle_ack(self.sequence.acked());
        self.queue.restart(now);
        self.handle_acked();
        let since = self.resumption.granted_mut().and_then(Links::attach);
        if let (Some(since), Some(links)) = (since, self.resumption.granted_mut()) {
            links.away += now.saturating_duration_since(since);
        }
        self.count_memory();
        if self.life.is_open() {
            if let Some(since) = since {
                self.schedule.timers.stop(SessionTimer::DetachedTurn);
                self.schedule.timers.stop(SessionTimer::Detached);
                self.let_times_go_on(now, since);
            }
            self.link.unsequenced.extend(self.life.goodbye());
            self.calls.hold_back(false);
            self.calls.grant(false, &mut self.output.wakes);
            self.calls.grant(true, &mut self.output.wakes);
        } else {
            // Nothing but the last words goes over this link, and they have a time of their own.
            self.link.end();
        }
        self.output.emit(Event::Attached);
    }

    /// What is under way is kept as well, so a session that can be resumed has less of it under way.
    pub(super) fn bound_bulk(&mut self) {
        if let Some(most) = self.resumption.most_kept() {
            self.link.bulk.bound(most);
        }
    }

    /// The times that have stood still since the link was lost go on, and those between two items begin anew.
    fn let_times_go_on(&mut self, now: Instant, since: Instant) {
        self.schedule.go_on(now, since);
        for key in self.calls.slots.keys() {
            if let Some((_, last)) = self.calls.slots.find_mut(key).and_then(|slot| slot.idle_timeout.as_mut()) {
                *last = now;
            }
        }
        if self.assembly.len() > 0 && !self.schedule.timers.is_set(SessionTimer::Assembly) {
            self.assembly.begin_period();
            self.schedule.timers.set(SessionTimer::Assembly, now + self.config.progress_timeout());
        }
        if self.resumption.awaits_acks(self.sequence.acked()) {
            self.await_acks(now);
        }
    }
}
