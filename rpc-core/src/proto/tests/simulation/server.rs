//! The server of a world: it takes clients in, and finds the sessions to which they come back.

use std::mem;

use super::{
    end::SessionEnd,
    network::OnItsWay,
    world::{World, contracts, take, token},
};
use crate::{
    error::{CloseCode, ConnectionError},
    proto::{
        Connection, Newcomer, ResumeVerdict,
        tests::pair::{CLIENT, SERVER},
    },
    wire::Resume,
};

impl World {
    pub(super) fn deliver_to_server(&mut self, link: usize, item: OnItsWay) {
        let now = self.now;
        if let Some(session) = self.server.iter_mut().find(|session| session.link == Some(link)) {
            return take(session, now, item);
        }
        let Some(index) = self.readers.iter().position(|(of, _)| *of == link) else { return };
        let (_, mut reader) = self.readers.swap_remove(index);
        let OnItsWay::Packet(packet) = item else { return };
        match reader.handle_packet(now, packet).expect("an honest client") {
            None => self.readers.push((link, reader)),
            Some(hello) => {
                let newcomer = reader.into_newcomer(hello).expect("an honest client");
                self.greet(link, newcomer);
            }
        }
    }

    /// The server takes in a client that has said Hello.
    fn greet(&mut self, link: usize, newcomer: Newcomer) {
        let now = self.now;
        let Some(resume) = newcomer.hello().resume.clone() else { return self.open(link, newcomer) };
        let is_stranger = mem::take(&mut self.next_is_stranger);
        let found = self.server.iter().position(|session| !is_stranger && is_named(session, &resume));
        let verdict = found.map_or(ResumeVerdict::Over, |index| self.server[index].connection.judge_resume(&resume));
        match (verdict, found) {
            (ResumeVerdict::Possible, Some(index)) => {
                let forgotten = self.server[index].connection.forgotten();
                assert!(forgotten <= resume.received, "it misses what was forgotten");
                self.resumed_later += usize::from(forgotten > 0);
                if let Err(code) = self.server[index].connection.attach(now, newcomer) {
                    assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
                    return self.close(SERVER, link, code);
                }
                if let Some(old) = self.server[index].link.replace(link) {
                    self.close(SERVER, old, CloseCode::REPLACED);
                }
            }
            (ResumeVerdict::Stale, _) => self.close(SERVER, link, CloseCode::NORMAL),
            (ResumeVerdict::Impossible, Some(index)) => {
                let session = &mut self.server[index];
                assert!(session.connection.forgotten() > resume.received, "an honest client has a position of its own");
                session.connection.end_unresumed();
                self.settle();
                self.open_if_wanted(link, newcomer);
            }
            _ => self.open_if_wanted(link, newcomer),
        }
    }

    /// There is nothing with which the client could go on.
    fn open_if_wanted(&mut self, link: usize, newcomer: Newcomer) {
        if newcomer.hello().resume_window_ms == 0 {
            self.close(SERVER, link, CloseCode::NORMAL);
        } else {
            self.open(link, newcomer);
        }
    }

    fn open(&mut self, link: usize, newcomer: Newcomer) {
        let (mut connection, early) = Connection::server(2, newcomer, self.now);
        self.tokens += 1;
        connection.make_resumable(self.resumability.clone(), &token(self.tokens));
        connection.accept(self.now, self.tokens, contracts(), Vec::new(), early);
        // The client counts its sessions in the same order, because it has one at a time; one that it never hears of
        // has a number of its own.
        let session = SessionEnd::new(connection, 1_000_000 + self.tokens, Some(link));
        self.server.push(session);
    }

    /// The server forgets all of its sessions.
    pub(super) fn restart_server(&mut self) {
        for mut session in mem::take(&mut self.server) {
            session.connection.handle_lost(self.now, ConnectionError::Lost("killed".to_owned()));
            session.connection.give_up_links();
            session.act(&mut self.ledger);
        }
        for link in &mut self.links {
            link.to[CLIENT].push(OnItsWay::Lost);
        }
        self.readers.clear();
    }
}

fn is_named(session: &SessionEnd, resume: &Resume) -> bool {
    session.connection.token() == Some(&*resume.token)
}
