//! The raw WebSocket of the page: the board's events go out, and each text that comes in is a note.

use rpc_server::{
    CloseCode, async_trait,
    raw::{Connection, Text, WebSocketHandler},
};

use crate::{board::Wall, contract::LiveEvent, login::User};

/// Serves the pages in browsers.
pub(crate) struct Live {
    pub(crate) wall: Wall,
}

#[async_trait]
impl WebSocketHandler for Live {
    async fn on_open(&self, page: &Connection) {
        match user(page) {
            // It fails if the page has gone already; then on_close is called next.
            Some(user) => drop(self.wall.show(page, &user.name)),
            None => page.close(CloseCode::POLICY_VIOLATION, "log in first"),
        }
    }

    async fn on_text(&self, page: &Connection, text: Text) {
        let Some(user) = user(page) else { return };
        if let Err(refused) = self.wall.post(&user.name, text.as_str()).await {
            let event = LiveEvent::Refused { why: refused.to_string(), text: text.as_str().to_owned() };
            let _ = page.try_send(event.to_string());
        }
    }
}

/// The user whom the login has found, and put into the request's extensions.
fn user(page: &Connection) -> Option<&User> {
    page.info().connection.extensions.get()
}
