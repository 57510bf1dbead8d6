//! The operator sees who answers, who is late, who fails, and who comes and goes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use fleet::demo;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_what_becomes_of_each_device() {
    let mut out = Vec::new();
    timeout(Duration::from_secs(60), demo(&mut out)).await.unwrap().unwrap();
    let out = String::from_utf8(out).unwrap();
    let mut rest = &out[..];
    for line in [
        "no device is here",
        "pump-1 has come",
        "pump-2 has come",
        "valve-1 has come",
        "pump-2 is away",
        "Run \"status\" on the 3 devices of site/north? yes",
        "pump-1: well",
        "valve-1: well",
        "… still waiting for pump-2\n",
        "pump-2: well",
        "3 answered, 0 failed",
        "pump-2 is back",
        "Run \"flush\" on the 3 devices of site/north? yes",
        "pump-1: flushed",
        "valve-1 failed: ",
        "pump-2 failed: the pressure is too high",
        "1 answered, 2 failed",
        "valve-1 is gone: ",
        "Run \"status\" on the 3 devices of model/P3? yes",
        "pump-3: well",
        "3 answered, 0 failed",
    ] {
        let (_, after) = rest.split_once(line).unwrap_or_else(|| panic!("{line:?} is missing in:\n{out}"));
        rest = after;
    }
}
