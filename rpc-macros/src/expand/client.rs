//! The result of a client's method, and the user's attributes on the method.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Attribute;

use super::private;
use crate::{
    model::{Contract, Output},
    normal::path,
};

/// The type that a call gives its caller.
pub(super) fn returned(contract: &Contract, output: &Output) -> TokenStream {
    let k = private(contract);
    let (ok, err) = outcome(contract, output);
    quote!(#k::Result<#ok, #err>)
}

/// The type that a call to many gives its caller.
pub(super) fn returned_by_many(contract: &Contract, output: &Output) -> TokenStream {
    let k = private(contract);
    if matches!(output, Output::Oneway) {
        return quote!(#k::Broadcast);
    }
    let (ok, err) = outcome(contract, output);
    quote!(#k::Answers<#ok, #err>)
}

/// The types of what a call gives if it succeeds, and if it fails.
fn outcome(contract: &Contract, output: &Output) -> (TokenStream, TokenStream) {
    let k = private(contract);
    match output {
        Output::Oneway => (quote!(()), quote!(#k::Status)),
        Output::Plain(ty) | Output::Status(ty) => (quote!(#ty), quote!(#k::Status)),
        Output::Fallible(ok, err) | Output::FallibleOrStatus(ok, err) => (quote!(#ok), quote!(#k::CallError<#err>)),
        Output::Alias(ty) => (quote!(<#ty as #k::Fallible>::Ok), quote!(#k::CallError<<#ty as #k::Fallible>::Err>)),
    }
}

/// Whether the macro passes an attribute of a method on to the client's method.
pub(super) fn passes_on(attr: &Attribute) -> bool {
    ["doc", "cfg", "deprecated", "must_use", "allow", "expect"].iter().any(|name| path(attr).is_ident(name))
}
