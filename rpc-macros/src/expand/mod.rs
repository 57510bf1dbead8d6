//! A contract to code, piece by piece.

mod broken;
mod client;
mod contract_trait;
mod descriptor;
mod dispatch;
mod stub;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Path, Type, ext::IdentExt};

use crate::{
    model::{Contract, Method, Output},
    types::{is_owned_binary, last_segment, streamed, type_arguments},
};

/// All that a contract becomes: nothing where there is nothing that its code could name.
pub(crate) fn contract(contract: &Contract) -> TokenStream {
    let Some(krate) = &contract.krate else { return TokenStream::new() };
    let parts = [
        import(contract, krate),
        contract_trait::definition(contract),
        contract_trait::forwarding(contract),
        stub::definition(contract),
        dispatch::start(contract),
        descriptor::stub_impl(contract),
    ];
    parts.into_iter().collect()
}

/// What generated code may name, under a short name of the contract's own: paths are most of what it is made of.
fn import(contract: &Contract, krate: &Path) -> TokenStream {
    let k = private(contract);
    let cfgs = contract.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    quote!(#(#cfgs)* #[allow(unused_imports)] use #krate::__private as #k;)
}

/// That name.
fn private(contract: &Contract) -> TokenStream {
    let name = format_ident!("__rpc_{}", contract.ident.unraw());
    quote!(#name)
}

/// As [`private`], standing where errors about it should be shown.
fn private_at(contract: &Contract, span: Span) -> TokenStream {
    let span = shown_at(span);
    let tokens = private(contract).into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    tokens.collect()
}

/// Ours, and shown at `span`. One origin for all tokens of an expression: of two, the compiler shows the whole
/// attribute.
fn shown_at(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// How the items of a stream travel, and its fault: generic arguments.
fn items(k: &TokenStream, ty: &Type) -> Option<TokenStream> {
    let (item, fault) = streamed(ty)?;
    let codec = if is_owned_binary(item) { quote!(#k::Binary<#item>) } else { quote!(#k::Value<#item>) };
    let fault = fault.map_or_else(|| quote!(#k::NoFault), |fault| quote!(#fault));
    Some(quote!(#codec, #fault))
}

/// The `Ok` of an alias of a `Result`, if it can be seen to be a stream.
fn ok_of_alias(ty: &Type) -> Option<&Type> {
    let ok = type_arguments(last_segment(ty)?).first().copied()?;
    streamed(ok).map(|_| ok)
}

/// What a method returns, as the trait has it.
fn returns(method: &Method) -> TokenStream {
    match &method.returns {
        Some(ty) => quote!(#ty),
        None => quote!(()),
    }
}

fn is_oneway(method: &Method) -> bool {
    matches!(method.output, Output::Oneway)
}
