//! The transcript has what the application promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tokio::time::timeout;
use web_app::demo;

/// Long beyond anything that should happen.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_scene_is_the_same_by_http_and_by_https() {
    let mut out = Vec::new();
    timeout(SOON, demo(&mut out)).await.unwrap().unwrap();
    let transcript = String::from_utf8(out).unwrap();
    let (http, https) = transcript.split_once("\nBy https, with an authority of the demo's own:\n").unwrap();
    let http = http.strip_prefix("By http:\n").unwrap();
    assert_eq!(http.replace("SameSite=Lax)", "SameSite=Lax; Secure)"), https);
    for line in [
        "/healthz answers 200, /readyz answers 200.",
        "Without a login, / leads to /login (303).",
        "A wrong password is answered with 401.",
        "The login of ben sets a cookie (Path=/; HttpOnly; SameSite=Lax), and its owner sees the board (200).",
        r#"Ada's page hears: {"kind":"welcome","name":"ada"}"#,
        r#"Ada's page hears: {"kind":"posted","note":{"number":1,"author":"ben","text":"Lunch at noon?"}}"#,
        "Ben's program hears: 2. ada: At one.",
        r#"Ada's page posts 501 bytes, and hears: {"kind":"refused","why":"a note has between 1 and 500 bytes","text":"x…"}"#,
        "Ben may not remove a note: PERMISSION_DENIED.",
        r#"Ada may: true. Her page hears: {"kind":"removed","number":1}"#,
        "A program with a cookie that is not known is answered with 401.",
        "A page with such a cookie is answered with 401.",
        "A page of another site is answered with 403.",
        "Ada logs out. Now / leads to /login.",
        "Ada's page is closed with 1012",
    ] {
        assert!(http.contains(line), "{line:?} is missing in:\n{http}");
    }
}
