//! The attribute macros of Duplex RPC: from a trait to both ends of a contract.
//!
//! Use the macros through `rpc-core`, `rpc-server` or `rpc-client`. Each of the three re-exports a pair of macros as
//! `service` and `callback`, and has the items that the generated code names.

mod errors;
mod expand;
mod home;
mod layout;
mod model;
mod names;
mod normal;
mod options;
mod parse;
mod shape;
mod travel;
mod types;
mod validate;

use proc_macro::TokenStream;
use syn::ItemTrait;

use crate::{errors::Errors, home::Home, options::Role};

#[doc = include_str!("service.md")]
#[proc_macro_attribute]
pub fn service(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Service, Home::Core, options, item)
}

#[doc = include_str!("callback.md")]
#[proc_macro_attribute]
pub fn callback(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Callback, Home::Core, options, item)
}

#[doc = include_str!("service.md")]
#[proc_macro_attribute]
pub fn server_service(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Service, Home::Server, options, item)
}

#[doc = include_str!("callback.md")]
#[proc_macro_attribute]
pub fn server_callback(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Callback, Home::Server, options, item)
}

#[doc = include_str!("service.md")]
#[proc_macro_attribute]
pub fn client_service(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Service, Home::Client, options, item)
}

#[doc = include_str!("callback.md")]
#[proc_macro_attribute]
pub fn client_callback(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Callback, Home::Client, options, item)
}

fn contract(role: Role, home: Home, options: TokenStream, item: TokenStream) -> TokenStream {
    match syn::parse::<ItemTrait>(item.clone()) {
        Ok(parsed) => expand(role, home, options.into(), parsed).into(),
        Err(error) => {
            let mut tokens = TokenStream::from(not_a_trait(error, item.clone()).to_compile_error());
            tokens.extend(item);
            tokens
        }
    }
}

/// The error for an item that is not a readable trait. If the item is a trait with a slip in it, the parser's own error
/// explains the slip.
fn not_a_trait(error: syn::Error, item: TokenStream) -> syn::Error {
    match syn::parse::<syn::Item>(item) {
        Ok(_) => syn::Error::new(
            error.span(),
            "a contract is a trait: write `trait Chat { … }` under this attribute, and implement it for your type",
        ),
        Err(_) => error,
    }
}

/// Expands a contract. If there are errors, the code has as much of the contract as could be read, so that the code
/// which uses the contract causes no further errors.
fn expand(role: Role, home: Home, options: proc_macro2::TokenStream, mut item: ItemTrait) -> proc_macro2::TokenStream {
    normal::normalize(&mut item);
    let mut errors = Errors::default();
    let contract = parse::contract(role, home, options, item, &mut errors);
    validate::validate(&contract, &mut errors);
    let mut tokens = expand::contract(&contract);
    tokens.extend(errors.into_tokens());
    tokens
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;

    use super::*;

    /// The number of lines that a reader of the expansion sees.
    fn lines(tokens: TokenStream) -> usize {
        prettyplease::unparse(&syn::parse2(tokens).unwrap()).lines().count()
    }

    #[test]
    fn a_method_takes_sixty_lines_at_most() {
        let sample = |methods: usize| {
            let methods = (0..methods).map(|n| {
                let name = quote::format_ident!("method_{n}");
                quote::quote! {
                    /// Documented.
                    #[rpc(idempotent, timeout = "5s")]
                    async fn #name(&self, cx: &Context<ScreenClient>, a: &str, b: &[u8], c: Vec<u32>) -> Result<u32, Fault>;
                }
            });
            let item = syn::parse2(quote::quote!(pub trait Desk { #(#methods)* })).unwrap();
            lines(expand(Role::Service, Home::Core, TokenStream::new(), item))
        };
        // The lines that a contract has once cancel out.
        let (six, twelve) = (sample(6), sample(12));
        let each = (twelve - six) / 6;
        assert!(each <= 60, "{each} lines a method");
    }

    #[test]
    fn the_trait_has_nothing_hidden() {
        let item = syn::parse_quote! {
            pub trait Desk {
                async fn note(&self, text: &str) -> u32;
            }
        };
        let file = syn::parse2(expand(Role::Service, Home::Core, TokenStream::new(), item)).unwrap();
        let syn::File { items, .. } = file;
        let contract = items.into_iter().find_map(|item| match item {
            syn::Item::Trait(contract) => Some(contract),
            _ => None,
        });
        let names = contract.unwrap().items.into_iter().map(|item| match item {
            syn::TraitItem::Fn(method) => method.sig.ident.to_string(),
            other => panic!("the trait has an item besides its methods: {}", quote::quote!(#other)),
        });
        let names: Vec<_> = names.collect();
        assert_eq!(names, ["note", "serve", "per_session", "try_per_session", "per_call"]);
    }
}
