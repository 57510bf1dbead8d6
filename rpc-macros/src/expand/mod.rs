//! A contract to code, piece by piece.

mod broken;
mod contract_trait;
mod descriptor;
mod dispatch;
mod stub;

use proc_macro2::{Span, TokenStream};
use quote::quote;

use crate::model::{Contract, Method, Output};

/// All that a contract becomes.
pub(crate) fn contract(contract: &Contract) -> TokenStream {
    let parts = [
        contract_trait::definition(contract),
        contract_trait::forwarding(contract),
        stub::definition(contract),
        descriptor::stub_impl(contract),
    ];
    parts.into_iter().collect()
}

/// The path of what generated code may name.
fn private(contract: &Contract) -> TokenStream {
    let krate = &contract.krate;
    quote!(#krate::__private)
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

/// Ours, and shown at `span`. One origin for all tokens of an expression: of two, the compiler shows the whole attribute.
fn shown_at(span: Span) -> Span {
    span.resolved_at(Span::call_site())
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
