//! The chapter on deploying shows the files of `examples/deploying`, which `conformance/peers.sh` runs.

use std::fs;

use super::root;

#[test]
fn the_chapter_on_deploying_shows_the_files_that_are_tested() {
    let page = fs::read_to_string(root().join("rpc-core/guide/deploying.md")).expect("it can be read");
    let blocks: Vec<_> = page.split("\n```").skip(1).step_by(2).collect();
    let beside =
        ["nginx.conf", "haproxy.cfg", "rpc.service", "Containerfile"].map(|name| format!("examples/deploying/{name}"));
    for name in beside.iter().map(String::as_str).chain([".dockerignore"]) {
        let file = fs::read_to_string(root().join(name)).expect("it can be read");
        let is_shown = |block: &&str| block.split_once('\n').is_some_and(|(_, text)| text.trim() == file.trim());
        assert!(blocks.iter().any(is_shown), "deploying.md does not show {name} as it is");
    }
}
