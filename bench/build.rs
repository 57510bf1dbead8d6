//! Tells the programs which compiler made them, and how: figures of two compilers do not compare.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("cargo names a rustc that starts");
    println!("cargo:rustc-env=RUSTC_VERSION={}", String::from_utf8_lossy(&output.stdout).trim());
    let target = std::env::var("TARGET").expect("cargo names the target");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\x1f', " ");
    println!("cargo:rustc-env=RUSTC_TARGET={}", format!("{target} {flags}").trim());
}
