//! Which of our crates the code of a contract names, and what the user's `Cargo.toml` calls it.

use proc_macro_crate::{Error, FoundCrate, crate_name};
use proc_macro2::Span;
use syn::Path;

use crate::errors::Errors;

/// The crate through which a macro was called. The compiler found that crate, so the search begins with it. Another of
/// our crates may be a dependency of the tests alone, or an optional one.
#[derive(Clone, Copy)]
pub(crate) enum Home {
    Core,
    Server,
    Client,
}

impl Home {
    /// The path of the crate whose hidden items the generated code names. `crate_name` reads `Cargo.toml` once for all
    /// macros that one compiler expands.
    pub(crate) fn path(self, errors: &mut Errors) -> Option<Path> {
        let path = self.look_up(crate_name);
        if path.is_none() {
            errors.push(syn::Error::new(Span::call_site(), self.missing()));
        }
        path
    }

    fn look_up(self, find: impl Fn(&str) -> Result<FoundCrate, Error>) -> Option<Path> {
        for package in [self, Self::Core, Self::Server, Self::Client].map(Self::package) {
            match find(package) {
                Ok(FoundCrate::Name(name)) => return absolute(&name),
                // The tests, examples and documentation of our own crates have the crate as a dependency.
                Ok(FoundCrate::Itself) => return absolute(package),
                Err(Error::CrateNotFound { .. }) => {}
                // There may be no `Cargo.toml` to read, as with other build tools. The usual name is the best guess.
                Err(_) => return absolute(self.package()),
            }
        }
        None
    }

    fn package(self) -> &'static str {
        match self {
            Self::Core => "rpc-core",
            Self::Server => "rpc-server",
            Self::Client => "rpc-client",
        }
    }

    fn missing(self) -> String {
        let (package, name) = (self.package(), self.package().replace('-', "_"));
        format!(
            "the code of a contract names rpc-core, rpc-server or rpc-client, and `[dependencies]` in this crate's \
             Cargo.toml has none of the three; add `{package}` there, or write which crate re-exports it: \
             `crate = \"my_crate::{name}\"`"
        )
    }
}

/// The path `::name` of a crate or a package. A dependency may have the name of a keyword.
fn absolute(name: &str) -> Option<Path> {
    let name = name.replace('-', "_");
    syn::parse_str(&format!("::{name}")).or_else(|_| syn::parse_str(&format!("::r#{name}"))).ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use quote::ToTokens;

    use super::*;

    /// What a contract's code names if `Cargo.toml` has these packages under these names.
    fn named(home: Home, dependencies: &[(&str, &str)]) -> Option<String> {
        let path = home.look_up(|package| {
            let found = dependencies.iter().find(|(real, _)| *real == package);
            found
                .map(|(_, name)| FoundCrate::Name((*name).to_owned()))
                .ok_or_else(|| Error::CrateNotFound { crate_name: package.to_owned(), path: PathBuf::new() })
        })?;
        Some(path.to_token_stream().to_string().replace(' ', ""))
    }

    #[test]
    fn the_crate_of_the_attribute_goes_before_others() {
        let both = [("rpc-server", "rpc_server"), ("rpc-client", "rpc_client")];
        assert_eq!(named(Home::Server, &both).as_deref(), Some("::rpc_server"));
        assert_eq!(named(Home::Client, &both).as_deref(), Some("::rpc_client"));
    }

    #[test]
    fn any_of_the_three_will_do() {
        for home in [Home::Core, Home::Server, Home::Client] {
            for (package, name) in
                [("rpc-core", "rpc_core"), ("rpc-server", "rpc_server"), ("rpc-client", "rpc_client")]
            {
                assert_eq!(named(home, &[(package, name)]), Some(format!("::{name}")));
            }
        }
    }

    #[test]
    fn a_dependency_keeps_the_name_that_its_user_gave_it() {
        assert_eq!(named(Home::Server, &[("rpc-server", "duplex")]).as_deref(), Some("::duplex"));
        assert_eq!(named(Home::Server, &[("rpc-server", "async")]).as_deref(), Some("::r#async"));
    }

    #[test]
    fn none_of_the_three_is_an_error() {
        assert_eq!(named(Home::Client, &[("serde", "serde")]), None);
    }

    #[test]
    fn without_a_manifest_the_usual_name_is_taken() {
        let path = Home::Server.look_up(|_| Err(Error::CargoManifestDirNotSet)).unwrap();
        assert_eq!(path.to_token_stream().to_string().replace(' ', ""), "::rpc_server");
    }
}
