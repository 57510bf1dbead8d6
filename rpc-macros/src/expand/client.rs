//! What a client's method shows: its result, and the user's attributes.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Attribute;

use super::private;
use crate::model::{Contract, Output};

/// What a call gives.
pub(super) fn returned(contract: &Contract, output: &Output) -> TokenStream {
    let k = private(contract);
    let result = quote!(#k::Result);
    match output {
        Output::Oneway => quote!(#result<(), #k::Status>),
        Output::Plain(ty) | Output::Status(ty) => quote!(#result<#ty, #k::Status>),
        Output::Fallible(ok, err) => quote!(#result<#ok, #k::CallError<#err>>),
        Output::Alias(ty) => quote!(#result<<#ty as #k::Fallible>::Ok, #k::CallError<<#ty as #k::Fallible>::Err>>),
    }
}

/// Which of the user's attributes also say something about the client's method.
pub(super) fn passes_on(attr: &Attribute) -> bool {
    ["doc", "cfg", "deprecated", "must_use", "allow", "expect"].iter().any(|name| attr.path().is_ident(name))
}
