//! The attribute macros of Duplex RPC: from a trait to both ends of a contract.
//!
//! Use them through `rpc-core`, which re-exports them and has what the generated code names.

mod errors;
mod expand;
mod model;
mod names;
mod options;
mod parse;
mod shape;
mod travel;
mod types;
mod validate;

use proc_macro::TokenStream;
use syn::ItemTrait;

use crate::{errors::Errors, options::Role};

/// Makes a service contract of a trait: the client, for instance `ChatClient` of `Chat`, and `serve`, which hosts an object that implements
/// the trait.
///
/// ```ignore
/// #[rpc_core::service(callback = ChatEvents)]
/// pub trait Chat {
///     async fn join(&self, cx: &Context<ChatEventsClient>, room: &str) -> Result<Joined, ChatError>;
///     #[rpc(idempotent, timeout = "5s")]
///     async fn who(&self, room: &str) -> Vec<User>;
/// }
/// ```
///
/// Options: `callback = Path`, the contract that a client must host; `name = "…"`, the name on the wire instead of the trait's;
/// `crate = "…"`, the path of `rpc-core` where it is not `::rpc_core`.
///
/// Methods are `async fn` with `&self`, an optional `cx: &Context<…>` that is not sent, and arguments that serde can send; `&str`, `&[u8]`,
/// `&T` and `&[T]` are lent at both ends. `#[rpc(…)]` on a method: `oneway`, `idempotent`, `timeout = "5s"`, `name = "…"`,
/// `id = 0x…`, `no_cancel`, `initiating = false`, `terminating`, `spawn`, `fallible`, `window = 65_536`; on an argument: `default`. `Streaming<T>` is a
/// stream, as an argument or as the result.
#[proc_macro_attribute]
pub fn service(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Service, options, item)
}

/// Makes a callback contract of a trait: hosted by the client, called by the server. Everything is as for [`macro@service`], except that
/// there is no `callback` option.
#[proc_macro_attribute]
pub fn callback(options: TokenStream, item: TokenStream) -> TokenStream {
    contract(Role::Callback, options, item)
}

fn contract(role: Role, options: TokenStream, item: TokenStream) -> TokenStream {
    match syn::parse::<ItemTrait>(item.clone()) {
        Ok(parsed) => expand(role, options.into(), parsed).into(),
        Err(error) => {
            let mut tokens = TokenStream::from(not_a_trait(error, item.clone()).to_compile_error());
            tokens.extend(item);
            tokens
        }
    }
}

/// What stands under the attribute may be a trait with a slip in it, which the parser explains, or no trait at all.
fn not_a_trait(error: syn::Error, item: TokenStream) -> syn::Error {
    match syn::parse::<syn::Item>(item) {
        Ok(_) => syn::Error::new(
            error.span(),
            "a contract is a trait: write `trait Chat { … }` under this attribute, and implement it for your type",
        ),
        Err(_) => error,
    }
}

/// The whole way of a contract. Errors come along with as much of the contract as could be read, so that no second wave follows.
fn expand(role: Role, options: proc_macro2::TokenStream, item: ItemTrait) -> proc_macro2::TokenStream {
    let mut errors = Errors::default();
    let contract = parse::contract(role, options, item, &mut errors);
    validate::validate(&contract, &mut errors);
    let mut tokens = expand::contract(&contract);
    tokens.extend(errors.into_tokens());
    tokens
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;

    use super::*;

    /// How long the code is to someone who reads the expansion.
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
            lines(expand(Role::Service, TokenStream::new(), item))
        };
        // What a contract has once cancels out.
        let (six, twelve) = (sample(6), sample(12));
        let each = (twelve - six) / 6;
        assert!(each <= 60, "{each} lines a method");
    }
}
