//! What a person is told whose `Cargo.toml` has none of our crates.

#[test]
fn a_missing_dependency_is_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
