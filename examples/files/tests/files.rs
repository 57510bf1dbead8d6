//! Files go up and down, go on where they were cut off, and leave nothing when they are given up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, time::Duration};

use bytes::Bytes;
use cable::Cable;
use files::{Entry, FileError, Files, FilesClient, Store, demo, get, give_up, put};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use rpc_client::{CallError, Client, ClientEvent, Connect, Reconnect, Status, Streaming, Stub};
use rpc_server::{Server, ServerHandle};
use tempfile::TempDir;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);

async fn server(directory: &Path) -> ServerHandle {
    let store = Store::new(directory).serve();
    Server::builder().service(store).resume_anonymous(true).listen("127.0.0.1:0").await.unwrap()
}

async fn client(server: &ServerHandle) -> FilesClient {
    FilesClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap()
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Bytes of the part of `a.bin`.
fn part(directory: &TempDir) -> u64 {
    std::fs::metadata(directory.path().join("a.bin.part")).map_or(0, |part| part.len())
}

/// Begins to upload `a.bin`, and drops it when something of it is there.
async fn begin_and_drop(files: &FilesClient, there: &TempDir) {
    let (sender, blocks) = Streaming::channel(1);
    let entry = Entry { name: "a.bin".to_owned(), length: 300_000, sha256: String::new() };
    let mut upload = Box::pin(files.upload(&entry, 0, blocks));
    tokio::select! {
        done = &mut upload => panic!("{done:?}"),
        sent = sender.send(Bytes::from_static(b"something")) => sent.unwrap(),
    }
    while part(there) == 0 {
        tokio::select! {
            done = &mut upload => panic!("{done:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_what_happened() {
    let directory = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    timeout(SOON, demo(directory.path(), 4 << 20, &mut out)).await.unwrap().unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.matches("the same checksum").count(), 2, "{out}");
    assert!(!out.contains("ANOTHER"), "{out}");
    assert!(out.contains("The server's directory holds: photo.raw, second.raw\n"), "{out}");
    assert!(out.contains("the server keeps 0 bytes"), "{out}");
    assert!(out.contains("from byte 0. It is there, by the same session"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_any_length_comes_back_as_it_was() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = server(there.path()).await;
    let files = client(&server).await;
    for length in [0_u32, 1, 61_440, 61_441, 1_000_000] {
        let path = here.path().join("a.bin");
        let bytes: Vec<u8> = (0..length).map(|n| n.to_le_bytes()[1]).collect();
        std::fs::write(&path, &bytes).unwrap();
        put(&files, &path, &ProgressBar::hidden()).await.unwrap();
        let back = here.path().join("b.bin");
        get(&files, "a.bin", &back, &ProgressBar::hidden()).await.unwrap();
        assert_eq!(std::fs::read(back).unwrap(), bytes);
    }
    assert_eq!((names(&there), names(&here).len()), (vec!["a.bin".to_owned()], 2));
}

/// A cable, a client at its end, and the number of times that its session went on while `transfer` ran. The cable is
/// pulled each time that this many bytes more have moved.
async fn with_a_bad_cable<T>(
    server: &ServerHandle,
    bar: &ProgressBar,
    step: u64,
    transfer: impl AsyncFnOnce(FilesClient) -> T,
) -> (T, usize) {
    let cable = Cable::new(server.local_addr()).await.unwrap();
    let quickly = Reconnect::default().initial_delay(Duration::from_millis(5)).max_delay(Duration::from_millis(20));
    let connecting = FilesClient::connect(format!("ws://{}/", cable.addr()));
    let files = connecting.reconnect(quickly).await.unwrap();
    let mut events = Client::of(&files).unwrap().events();
    let (mut resumed, mut next) = (0, step);
    let pulling = async {
        loop {
            while bar.position() < next {
                tokio::task::yield_now().await;
            }
            next = bar.position() + step;
            cable.pull();
            let lost = events.next().await;
            assert!(matches!(lost, Some(ClientEvent::LinkLost { .. })), "{lost:?}");
            cable.plug_in();
            let again = events.next().await;
            assert!(matches!(again, Some(ClientEvent::Resumed { .. })), "{again:?}");
            resumed += 1;
        }
    };
    let done = tokio::select! {
        done = timeout(SOON, transfer(files.clone())) => done.expect("the transfer hangs"),
        () = pulling => unreachable!(),
    };
    (done, resumed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_on_by_itself_when_the_cable_is_pulled() {
    const LENGTH: u64 = 8 << 20;
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = server(there.path()).await;
    let path = here.path().join("a.bin");
    let bytes: Vec<u8> = (0..u32::try_from(LENGTH / 4).unwrap()).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &bytes).unwrap();
    let bar = ProgressBar::hidden();
    let putting = async |files| put(&files, &path, &bar).await;
    let (offset, resumed) = with_a_bad_cable(&server, &bar, LENGTH / 5, putting).await;
    assert_eq!(offset.unwrap(), 0, "it was not begun anew");
    assert!(resumed > 0, "the cable was not pulled in time");
    let (bar, back) = (ProgressBar::hidden(), here.path().join("b.bin"));
    let getting = async |files| get(&files, "a.bin", &back, &bar).await;
    let (offset, resumed) = with_a_bad_cable(&server, &bar, LENGTH / 5, getting).await;
    assert_eq!(offset.unwrap(), 0, "it was not begun anew");
    assert!(resumed > 0, "the cable was not pulled in time");
    assert!(std::fs::read(back).unwrap() == bytes, "the bytes are others");
}

/// The session is lost in the middle of a block; later the rest is put.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_the_session_was_lost() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = server(there.path()).await;
    let path = here.path().join("a.bin");
    std::fs::write(&path, vec![b'x'; 300_000]).unwrap();
    let cable = Cable::new(server.local_addr()).await.unwrap();
    let files = FilesClient::connect(format!("ws://{}/", cable.addr())).reconnect(Reconnect::never());
    let files = files.await.unwrap();
    let (sender, blocks) = Streaming::channel(1);
    let entry = Entry { name: "a.bin".to_owned(), length: 300_000, sha256: String::new() };
    let upload = tokio::spawn({
        let files = files.clone();
        async move { files.upload(&entry, 0, blocks).await }
    });
    sender.send(Bytes::from(vec![b'x'; 50_000])).await.unwrap();
    let watched = client(&server).await;
    while part(&there) < 50_000 {
        tokio::task::yield_now().await;
    }
    cable.pull();
    assert!(upload.await.unwrap().is_err());
    drop(sender);
    assert_eq!(watched.kept("a.bin").await.unwrap(), 50_000);
    assert_eq!(put(&watched, &path, &ProgressBar::hidden()).await.unwrap(), 50_000);
    assert_eq!(names(&there), ["a.bin"]);
    assert_eq!(std::fs::read(there.path().join("a.bin")).unwrap(), vec![b'x'; 300_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_leaves_nothing() {
    let there = tempfile::tempdir().unwrap();
    let server = server(there.path()).await;
    let files = client(&server).await;
    begin_and_drop(&files, &there).await;
    assert_eq!(files.kept("a.bin").await.unwrap(), 0);
    assert!(names(&there).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_and_leaves_at_once_leaves_nothing() {
    let there = tempfile::tempdir().unwrap();
    let server = server(there.path()).await;
    let watched = client(&server).await;
    for _ in 0..20 {
        let files = client(&server).await;
        begin_and_drop(&files, &there).await;
        files.session().close();
        assert_eq!(watched.kept("a.bin").await.unwrap(), 0);
        assert!(names(&there).is_empty());
    }
}

/// A part of an earlier attempt is removed too, if the attempt that gave up was dropped before it had begun to send.
#[tokio::test(flavor = "multi_thread")]
async fn giving_up_throws_away_what_an_earlier_attempt_left() {
    let there = tempfile::tempdir().unwrap();
    let server = server(there.path()).await;
    let files = client(&server).await;
    std::fs::write(there.path().join("a.bin.part"), "something").unwrap();
    give_up(&files, Path::new("somewhere/a.bin")).await.unwrap();
    give_up(&files, Path::new("a.bin")).await.unwrap();
    assert!(names(&there).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_should_be_is_refused() {
    let there = tempfile::tempdir().unwrap();
    let server = server(there.path()).await;
    let files = client(&server).await;
    let put = async |name: &str, length, sha256: &str, offset| {
        let entry = Entry { name: name.to_owned(), length, sha256: sha256.to_owned() };
        let blocks = stream::iter([Bytes::from_static(b"abc")]);
        files.upload(&entry, offset, blocks).await.map_err(CallError::collapse)
    };
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(matches!(put("a", 3, "00", 0).await, Err(FileError::Checksum { .. })));
    assert!(matches!(put("a", 4, abc, 0).await, Err(FileError::Length { came: 3, .. })));
    assert!(matches!(put("a", 3, abc, 9).await, Err(FileError::BadOffset { there: 0, .. })));
    for name in ["", ".", "..", "../a", "a/b", "/etc/passwd", "a.part", ".a", "a\0", "ü", &"a".repeat(101)] {
        assert!(matches!(put(name, 3, abc, 0).await, Err(FileError::BadName(_))), "{name}");
        let got = files.download(name, 0).await.map(drop).map_err(CallError::collapse);
        assert!(matches!(got, Err(FileError::BadName(_))), "{name}");
    }
    assert!(names(&there).is_empty());
    put("a", 3, abc, 0).await.unwrap();
    assert_eq!(files.list().await.unwrap().len(), 1);
    assert!(matches!(files.stat("b").await.map_err(CallError::collapse), Err(FileError::NotFound(_))));
}

/// A server that lists a file, and is away when it should send the file.
struct Away;

impl Files for Away {
    async fn list(&self) -> Result<Vec<Entry>, FileError> {
        Ok(Vec::new())
    }

    async fn stat(&self, name: &str) -> Result<Entry, FileError> {
        Ok(Entry { name: name.to_owned(), length: 9, sha256: String::new() })
    }

    async fn download(&self, _: &str, _: u64) -> Result<Streaming<Bytes, FileError>, FileError> {
        Err(Status::unavailable("away").into())
    }

    async fn kept(&self, _: &str) -> Result<u64, FileError> {
        Ok(0)
    }

    async fn discard(&self, _: &str) -> Result<(), FileError> {
        Ok(())
    }

    async fn upload(&self, _: &Entry, _: u64, _: Streaming<Bytes, FileError>) -> Result<(), FileError> {
        Err(Status::unavailable("away").into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_cannot_begin_keeps_what_an_earlier_one_left() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("a.bin.part"), "some").unwrap();
    let server = Server::builder().service(Away.serve()).listen("127.0.0.1:0").await.unwrap();
    let (files, path) = (client(&server).await, here.path().join("a.bin"));
    assert!(matches!(get(&files, "a.bin", &path, &ProgressBar::hidden()).await, Err(FileError::Call(_))));
    assert_eq!(part(&here), 4);
    files.session().close();
    assert!(matches!(get(&files, "a.bin", &path, &ProgressBar::hidden()).await, Err(FileError::Call(_))));
    assert_eq!(part(&here), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_longer_than_the_file_is_begun_anew() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(there.path().join("a.bin"), "short").unwrap();
    std::fs::write(here.path().join("a.bin.part"), "something else").unwrap();
    let server = server(there.path()).await;
    let (files, path) = (client(&server).await, here.path().join("a.bin"));
    assert_eq!(get(&files, "a.bin", &path, &ProgressBar::hidden()).await.unwrap(), 0);
    assert_eq!((std::fs::read(&path).unwrap(), names(&here)), (b"short".to_vec(), vec!["a.bin".to_owned()]));
    std::fs::write(here.path().join("b.bin.part"), "something").unwrap();
    let missing = get(&files, "b.bin", &here.path().join("b.bin"), &ProgressBar::hidden()).await;
    assert!(matches!(missing, Err(FileError::NotFound(_))));
    assert_eq!(names(&here), ["a.bin"]);
}

/// The program itself, and a real Ctrl-C.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_interrupted_leaves_nothing() {
    use std::process::{Command, Stdio};

    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = server(there.path()).await;
    let path = here.path().join("a.bin");
    std::fs::File::create(&path).unwrap().set_len(32 << 20).unwrap();
    let url = format!("ws://{}/", server.local_addr());
    loop {
        let mut program = Command::new(env!("CARGO_BIN_EXE_files"));
        program.arg("put").arg(&path).args(["--url", &url]).stdout(Stdio::piped());
        let mut child = program.spawn().unwrap();
        while part(&there) == 0 && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        // This fails if the program has ended.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        if String::from_utf8(output.stdout).unwrap().contains("given up") {
            break;
        }
        // The program was faster than the signal.
        assert_eq!(names(&there), ["a.bin"]);
        std::fs::remove_file(there.path().join("a.bin")).unwrap();
    }
    // The upload may have been complete a moment before.
    assert!(!names(&there).contains(&"a.bin.part".to_owned()));
}
