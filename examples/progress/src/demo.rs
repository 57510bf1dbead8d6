//! The demo: four exports over a real WebSocket, with a transcript.

use std::{error::Error, io::Write, path::Path, sync::Arc, time::Duration};

use indicatif::ProgressBar;
use rpc_client::{CallError, Connect};
use rpc_server::Server;

use crate::{
    contract::{ExportError, Exported, Exporter, ExporterClient, Watcher},
    exporter::Archive,
    screen::{Answers, Screen, Seen},
};
use tokio::sync::watch;

const NAME: &str = "squares.csv";
const RECORDS: u64 = 20_000;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A client and its screen.
struct Desk {
    exporter: ExporterClient,
    seen: watch::Receiver<Seen>,
    questions: usize,
}

/// Exports to `directory` four times: to a new name, twice more to the same name, where the server asks and hears
/// `answers`, and once with a client that gives up half way.
pub async fn demo(directory: &Path, answers: [bool; 2], out: &mut (impl Write + Send)) -> Outcome {
    let archive = Archive::new(directory, Duration::from_millis(3));
    let server = Server::builder().service(archive.serve()).listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/", server.local_addr());
    // Without a terminal, indicatif hides the bar.
    let screen = Arc::new(Screen::new(ProgressBar::new(RECORDS), Answers::given(answers)));
    let seen = screen.seen();
    let exporter = ExporterClient::connect(url).callback(Watcher::serve(screen)).await?;
    let mut desk = Desk { exporter, seen, questions: 0 };

    for (job, what) in ["A first export.", "The same name again.", "And again."].into_iter().enumerate() {
        writeln!(out, "{what}")?;
        desk.export(u32::try_from(job)?, NAME, out).await?;
        desk.files(out).await?;
    }
    writeln!(out, "\nAn export that is given up half way.")?;
    desk.give_up(9, "half.csv", out).await?;
    desk.exporter.idle().await?;
    desk.files(out).await?;

    drop(desk);
    server.shutdown().await;
    Ok(())
}

impl Desk {
    async fn export(&mut self, job: u32, name: &str, out: &mut (impl Write + Send)) -> Outcome {
        self.seen.borrow_and_update();
        let outcome = self.exporter.export(job, name, RECORDS).await;
        self.heard(out)?;
        match outcome {
            Ok(Exported { bytes }) => writeln!(out, "  {} % … done, {bytes} bytes.", self.seen.borrow().percent)?,
            Err(CallError::Fault(ExportError::Kept(name))) => writeln!(out, "  The server leaves {name} as it is.")?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Drops the call as soon as half of the job is done.
    async fn give_up(&mut self, job: u32, name: &str, out: &mut (impl Write + Send)) -> Outcome {
        let mut halfway = self.seen.clone();
        halfway.mark_unchanged();
        tokio::select! {
            outcome = self.exporter.export(job, name, RECORDS) => writeln!(out, "  It was too quick: {outcome:?}")?,
            half = async {
                halfway.changed().await?;
                halfway.wait_for(|seen| (50..100).contains(&seen.percent)).await.map(drop)
            } => {
                half?;
                writeln!(out, "  50 % … and the call is dropped.")?;
            }
        }
        Ok(())
    }

    /// Writes what the server has asked since the last time.
    fn heard(&mut self, out: &mut (impl Write + Send)) -> Outcome {
        let seen = self.seen.borrow();
        for question in &seen.questions[self.questions..] {
            writeln!(out, "  The server asks: {question}")?;
        }
        self.questions = seen.questions.len();
        Ok(())
    }

    async fn files(&self, out: &mut (impl Write + Send)) -> Outcome {
        writeln!(out, "  The server has: {}", self.exporter.files().await?.join(", "))?;
        Ok(())
    }
}
