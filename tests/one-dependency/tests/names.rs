//! `rpc-server` and `rpc-client` have what `rpc-core` has, so that a program needs one of the two crates only.

use std::{collections::BTreeSet, fs, path::Path};

use syn::{Item, UseTree, Visibility};

/// Modules all of whose names that people need are at the root too.
const OF_THE_CORE_ALONE: [&str; 3] = ["config", "error", "status"];

/// The public names at the root of a crate.
fn names(package: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = fs::read_to_string(root.join(package).join("src/lib.rs")).expect("it is in the workspace");
    let mut names = BTreeSet::new();
    for item in syn::parse_file(&source).expect("it compiles").items {
        match item {
            Item::Use(item) if is_public(&item.vis) => collect(&item.tree, &mut names),
            Item::Mod(item) if is_public(&item.vis) => {
                names.insert(item.ident.to_string());
            }
            _ => {}
        }
    }
    names.retain(|name| !name.starts_with("__"));
    names
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn collect(tree: &UseTree, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => collect(&path.tree, names),
        UseTree::Name(name) => {
            names.insert(name.ident.to_string());
        }
        UseTree::Rename(rename) => {
            names.insert(rename.rename.to_string());
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, names)),
        UseTree::Glob(_) => panic!("a glob hides what a crate has; write the names"),
    }
}

#[test]
fn servers_and_clients_need_no_core() {
    let core = names("rpc-core");
    assert!(core.contains("Status") && core.contains("service"), "{core:?}");
    for package in ["rpc-server", "rpc-client"] {
        let has = names(package);
        let lacks: Vec<_> =
            core.iter().filter(|name| !has.contains(*name) && !OF_THE_CORE_ALONE.contains(&name.as_str())).collect();
        assert!(lacks.is_empty(), "{package} does not re-export {lacks:?} of rpc-core; add these names to its lib.rs");
    }
}
