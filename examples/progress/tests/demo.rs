//! What the demo shows comes from what server and client say to each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use indicatif::ProgressBar;
use progress::{Answers, Archive, ExportError, Exporter, ExporterClient, Screen, Watcher, demo};
use rpc_client::{CallError, Connect};
use rpc_server::{Server, ServerHandle};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);

async fn transcript(answers: [bool; 2]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    timeout(SOON, demo(directory.path(), answers, &mut out)).await.unwrap().unwrap();
    let mut left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["squares.csv"], "nothing of the export that was given up");
    String::from_utf8(out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_job_does_what_its_client_answers() {
    let no_then_yes = transcript([false, true]).await;
    let asked =
        |answer| format!("The server asks: squares.csv is there already (294276 bytes). Overwrite it? {answer}");
    let lines: Vec<_> = no_then_yes.lines().map(str::trim).collect();
    let (no, yes) = (asked("no"), asked("yes"));
    let expected = [
        "A first export.",
        "100 % … done, 294276 bytes.",
        "The server has: squares.csv",
        "The same name again.",
        &no,
        "The server leaves squares.csv as it is.",
        "The server has: squares.csv",
        "And again.",
        &yes,
        "100 % … done, 294276 bytes.",
        "The server has: squares.csv",
        "",
        "An export that is given up half way.",
        "50 % … and the call is dropped.",
        "The server has: squares.csv",
    ];
    assert_eq!(lines, expected);

    let yes_then_no = transcript([true, false]).await;
    assert!(yes_then_no.find(&yes).unwrap() < yes_then_no.find(&no).unwrap(), "{yes_then_no}");
}

async fn server(directory: &tempfile::TempDir, pace: Duration) -> ServerHandle {
    Server::builder().service(Archive::new(directory.path(), pace).serve()).listen("127.0.0.1:0").await.unwrap()
}

async fn client(server: &ServerHandle) -> (ExporterClient, Arc<Screen>) {
    let screen = Arc::new(Screen::new(ProgressBar::hidden(), Answers::given([])));
    let url = format!("ws://{}/", server.local_addr());
    (ExporterClient::connect(url).callback(Watcher::serve(Arc::clone(&screen))).await.unwrap(), screen)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_elsewhere_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory, Duration::ZERO).await;
    let (exporter, _) = client(&server).await;
    for name in ["", ".", "..", "../up", "a/b", "/etc/passwd", ".hidden", "a\0b"] {
        let error = exporter.export(1, name, 10).await.unwrap_err();
        assert_eq!(error, CallError::Fault(ExportError::Name(name.to_owned())));
    }
    assert_eq!(exporter.files().await.unwrap().len(), 0);
}

/// A client that vanishes stops its job as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // At this pace the job does not end by itself.
    let server = server(&directory, Duration::from_secs(3600)).await;
    let (leaving, screen) = client(&server).await;
    let (staying, _) = client(&server).await;
    let mut seen = screen.seen();
    let call = tokio::spawn(async move { leaving.export(1, "long.csv", 1000).await });
    timeout(SOON, seen.wait_for(|seen| seen.percent > 0)).await.unwrap().unwrap();
    assert_eq!(staying.files().await.unwrap().len(), 1, "under way");
    call.abort();
    timeout(SOON, staying.idle()).await.unwrap().unwrap();
    assert!(staying.files().await.unwrap().is_empty());
}
