//! The board: its notes, and who hears of them.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::join_all;
use rpc_server::{
    Context, SessionId,
    raw::{Connection, RawError, WebSocketCollection},
};

use crate::contract::{Admin, Board, BoardError, BoardEventsClient, LiveEvent, Note};

/// The board keeps this number of notes, the newest ones.
const MOST_NOTES: usize = 100;
/// The longest text of a note, in bytes.
const LONGEST: usize = 500;

/// The board of the application. Cheap to clone; clones are the same board.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wall {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    notes: VecDeque<Note>,
    last: u64,
    programs: Vec<(SessionId, BoardEventsClient)>,
    /// The pages in browsers.
    pages: WebSocketCollection,
}

impl Wall {
    /// Posts a note, and tells pages and programs.
    pub(crate) async fn post(&self, author: &str, text: &str) -> Result<u64, BoardError> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(BoardError::Length(LONGEST));
        }
        let (note, programs) = {
            let mut shared = self.shared();
            shared.last += 1;
            let note = Note { number: shared.last, author: author.to_owned(), text: text.to_owned() };
            if shared.notes.len() == MOST_NOTES {
                shared.notes.pop_front();
            }
            shared.notes.push_back(note.clone());
            // It waits for no page. Under the lock, all pages hear of the notes in the order of their numbers.
            shared.pages.broadcast(LiveEvent::Posted { note: note.clone() }.to_string());
            (note, shared.programs.clone())
        };
        // These calls are one-way, so each is done when it is in the outbox. A program that has just left does not
        // stop the other calls.
        join_all(programs.iter().map(|(_, events)| events.posted(&note))).await;
        Ok(note.number)
    }

    /// Tells a page all there is, and from then on each change.
    pub(crate) fn show(&self, page: &Connection, name: &str) -> Result<(), RawError> {
        let shared = self.shared();
        page.try_send(LiveEvent::Welcome { name: name.to_owned() }.to_string())?;
        for note in &shared.notes {
            page.try_send(LiveEvent::Posted { note: note.clone() }.to_string())?;
        }
        shared.pages.add(page);
        Ok(())
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board for Wall {
    async fn post(&self, cx: &Context<BoardEventsClient>, text: &str) -> Result<u64, BoardError> {
        // The login stands before `/rpc`, so each session has a principal.
        let author = cx.principal().map_or_else(String::new, |principal| principal.name().to_owned());
        Self::post(self, &author, text).await
    }

    async fn watch(&self, cx: &Context<BoardEventsClient>) -> Vec<Note> {
        let (session, id) = (cx.session(), cx.session_id());
        let notes = {
            let mut shared = self.shared();
            let watches = shared.programs.iter().any(|(watching, _)| *watching == id);
            if watches {
                return shared.notes.iter().cloned().collect();
            }
            shared.programs.push((id, cx.peer().clone()));
            shared.notes.iter().cloned().collect()
        };
        let wall = self.clone();
        tokio::spawn(async move {
            session.closed().await;
            wall.shared().programs.retain(|(watching, _)| *watching != id);
        });
        notes
    }
}

impl Admin for Wall {
    async fn remove(&self, number: u64) -> bool {
        let programs = {
            let mut shared = self.shared();
            let Some(position) = shared.notes.iter().position(|note| note.number == number) else { return false };
            shared.notes.remove(position);
            shared.pages.broadcast(LiveEvent::Removed { number }.to_string());
            shared.programs.clone()
        };
        join_all(programs.iter().map(|(_, events)| events.removed(number))).await;
        true
    }
}

impl fmt::Display for LiveEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
