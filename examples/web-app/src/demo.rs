//! The demo: a browser's requests, a program and a page, by HTTP and by HTTPS, with a transcript of what happens.

use std::{io::Write, net::Ipv4Addr, time::Duration};

use rpc_client::{
    Connect, ConnectBuilder, ConnectError, Stub, Tls,
    raw::{ClientWebSocket, ClientWebSocketBuilder},
};
use tokio::sync::mpsc;

use crate::{
    App, Authority, Door, Http, Outcome, Users,
    contract::{AdminClient, BoardClient, BoardEvents, LiveEvent, Note},
};

/// Runs the scene twice, and writes the transcript.
///
/// # Errors
///
/// If something happens that the script does not have.
pub async fn demo(out: &mut (impl Write + Send)) -> Outcome {
    writeln!(out, "By http:")?;
    scene(None, out).await?;
    writeln!(out, "\nBy https, with an authority of the demo's own:")?;
    scene(Some(&Authority::new()?), out).await
}

/// How to reach the server.
struct Place {
    tls: Option<Tls>,
    port: u16,
}

/// A program's ears, which pass on what they hear.
#[derive(Clone)]
struct Ears(mpsc::UnboundedSender<String>);

impl BoardEvents for Ears {
    async fn posted(&self, note: &Note) {
        // Sending fails when the demo has ended.
        let _ = self.0.send(format!("{}. {}: {}", note.number, note.author, note.text));
    }

    async fn removed(&self, number: u64) {
        let _ = self.0.send(format!("{number} is gone"));
    }
}

async fn scene(authority: Option<&Authority>, out: &mut (impl Write + Send)) -> Outcome {
    let tls = authority.map(Authority::local).transpose()?;
    let door = Door::open((Ipv4Addr::LOCALHOST, 0).into(), tls).await?;
    let authority = authority.map(Authority::pem);
    let trust = authority.as_ref().map(|authority| Tls::builder().ca(authority).build()).transpose()?;
    let place = Place { tls: trust, port: door.addr().port() };
    let browser = Http::new(door.addr(), authority.as_deref())?;
    let app = App::new(Users::default(), Duration::ZERO)?;
    let server = app.server().clone();
    let serving = tokio::spawn(app.serve(door));

    let (health, ready) = (browser.get("/healthz", "").await?, browser.get("/readyz", "").await?);
    writeln!(out, "  /healthz answers {}, /readyz answers {}.", health.status, ready.status)?;
    let away = browser.get("/", "").await?;
    writeln!(out, "  Without a login, / leads to {} ({}).", away.header("location").unwrap_or("?"), away.status)?;
    let wrong = browser.post("/login", "", "name=ada&password=byron").await?;
    writeln!(out, "  A wrong password is answered with {}.", wrong.status)?;
    let ada = login(&browser, "name=ada&password=lovelace", out).await?;
    let ben = login(&browser, "name=ben&password=franklin", out).await?;

    let (sender, mut heard) = mpsc::unbounded_channel();
    let ears = Ears(sender);
    let program = place.board(&ben, &ears).await?;
    writeln!(out, "  Ben's program finds {} notes.", program.watch().await?.len())?;
    let mut page = place.page(&ada).header("origin", place.url("http")).await?;
    writeln!(out, "  Ada's page hears: {}", hear(&mut page).await?)?;

    program.post("Lunch at noon?").await?;
    writeln!(out, "  Ben's program posts. Ada's page hears: {}", hear(&mut page).await?)?;
    writeln!(out, "  Ben's program hears: {}", next(&mut heard).await?)?;
    page.send("At one.").await?;
    writeln!(out, "  Ada's page posts, and hears: {}", hear(&mut page).await?)?;
    writeln!(out, "  Ben's program hears: {}", next(&mut heard).await?)?;

    let long = "x".repeat(501);
    page.send(long.as_str()).await?;
    let refused = hear(&mut page).await?.replace(&long, "x…");
    writeln!(out, "  Ada's page posts {} bytes, and hears: {refused}", long.len())?;

    let refused = program.session().client::<AdminClient>().remove(1).await;
    writeln!(out, "  Ben may not remove a note: {}.", refused.err().ok_or("Ben is no administrator")?.code())?;
    let admin = place.board(&ada, &ears).await?;
    let removed = admin.session().client::<AdminClient>().remove(1).await?;
    writeln!(out, "  Ada may: {removed}. Her page hears: {}", hear(&mut page).await?)?;
    writeln!(out, "  Ben's program hears: {}", next(&mut heard).await?)?;

    let stranger = status(place.board("login=guessed", &ears).await.map(drop))?;
    writeln!(out, "  A program with a cookie that is not known is answered with {stranger}.")?;
    let stranger = status(place.page("login=guessed").await.map(drop))?;
    writeln!(out, "  A page with such a cookie is answered with {stranger}.")?;
    let foreign = place.page(&ada).header("origin", "https://elsewhere.example").await;
    writeln!(out, "  A page of another site is answered with {}.", status(foreign.map(drop))?)?;

    browser.post("/logout", &ada, "").await?;
    let away = browser.get("/", &ada).await?;
    writeln!(out, "  Ada logs out. Now / leads to {}.", away.header("location").unwrap_or("?"))?;

    server.shutdown().await;
    serving.await??;
    writeln!(out, "  The application ends. Ada's page is closed with {}.", page.closed().await?.code)?;
    writeln!(out, "  Ben's session: {}", program.session().closed().await)?;
    Ok(())
}

impl Place {
    fn url(&self, scheme: &str) -> String {
        let secure = if self.tls.is_some() { "s" } else { "" };
        format!("{scheme}{secure}://localhost:{}", self.port)
    }

    /// A session of a program with this cookie.
    fn board(&self, cookie: &str, ears: &Ears) -> ConnectBuilder<BoardClient> {
        // The board may call back every client, so every client has ears.
        let connecting = BoardClient::connect(self.url("ws") + "/rpc").callback(ears.clone().serve());
        let connecting = connecting.header("cookie", cookie);
        match &self.tls {
            Some(tls) => connecting.tls(tls.clone()),
            None => connecting,
        }
    }

    /// A raw WebSocket with this cookie.
    fn page(&self, cookie: &str) -> ClientWebSocketBuilder {
        let connecting = ClientWebSocket::connect(self.url("ws") + "/live").header("cookie", cookie);
        match &self.tls {
            Some(tls) => connecting.tls(tls.clone()),
            None => connecting,
        }
    }
}

async fn login(browser: &Http, form: &str, out: &mut (impl Write + Send)) -> Outcome<String> {
    let answer = browser.post("/login", "", form).await?;
    let cookie = answer.cookie().ok_or("the login sets no cookie")?.to_owned();
    let page = browser.get("/", &cookie).await?;
    let (_, attributes) = answer.header("set-cookie").and_then(|set| set.split_once("; ")).unwrap_or_default();
    let title = page.body.contains("<title>The board</title>");
    let sees = if title { "sees the board" } else { "does not see the board" };
    let name = form.split(['=', '&']).nth(1).unwrap_or("?");
    writeln!(out, "  The login of {name} sets a cookie ({attributes}), and its owner {sees} ({}).", page.status)?;
    Ok(cookie)
}

/// The next message of the page, as it came: JSON text.
async fn hear(page: &mut ClientWebSocket) -> Outcome<String> {
    let message = page.recv().await.ok_or("the server has closed the page's WebSocket")??;
    let text = message.as_text().ok_or("the page hears no text")?;
    serde_json::from_str::<LiveEvent>(text)?;
    Ok(text.to_owned())
}

async fn next(heard: &mut mpsc::UnboundedReceiver<String>) -> Outcome<String> {
    Ok(heard.recv().await.ok_or("the program hears nothing any more")?)
}

/// The status with which a WebSocket was refused.
fn status(connected: Result<(), ConnectError>) -> Outcome<u16> {
    match connected {
        Err(ConnectError::Http { status, .. }) => Ok(status.as_u16()),
        Err(error) => Err(error.into()),
        Ok(()) => Err("the server has let a stranger in".into()),
    }
}
