//! What a person is told about mistakes in contracts, word by word, and what is taken without a word.

use std::process::Command;

/// The compiler whose own words `tests/ui/compiler` holds. Other compilers use slightly other words.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn messages() {
    let cases = trybuild::TestCases::new();
    // Ours.
    cases.compile_fail("tests/ui/fail/*.rs");
    cases.pass("tests/ui/pass/*.rs");
    if compiler().starts_with(COMPILER) {
        cases.compile_fail("tests/ui/compiler/*.rs");
    }
}

fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("cargo has just run it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
