//! The trait itself, with `serve`, and its implementation for `Arc`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{FnArg, ReturnType, TraitItem};

use super::{dispatch, private, returns};
use crate::{
    model::{Contract, Method},
    parse,
};

pub(super) fn definition(contract: &Contract) -> TokenStream {
    let Contract { attrs, vis, ident, supertraits, broken, .. } = contract;
    let k = private(contract);
    let methods = contract.methods.iter().map(|method| {
        let (attrs, signature) = (&method.attrs, signature(contract, method));
        quote!(#(#attrs)* #signature;)
    });
    let broken = broken.iter().map(|item| sanitized(contract, item));
    let start = dispatch::start(contract);
    let client = contract.client();
    let message = format!("`{{Self}}` does not implement the contract `{ident}`");
    let label = format!("`impl {ident} for …` is missing");
    let serve_doc =
        format!("Hosts this object: gives the service that a server or client takes in. `{ident}::serve(object)`.");
    let supertraits = (!supertraits.is_empty()).then(|| quote!(+ #supertraits));
    quote! {
        #(#attrs)*
        #[diagnostic::on_unimplemented(message = #message, label = #label)]
        #vis trait #ident: #k::core::marker::Send + #k::core::marker::Sync + 'static #supertraits {
            #(#methods)*
            #(#broken)*

            #[doc = #serve_doc]
            fn serve(self) -> #k::Service
            where
                Self: #k::core::marker::Sized,
            {
                #start
                #k::Service::host(<#client as #k::Stub>::CONTRACT, self, start::<Self>)
            }
        }
    }
}

/// An object that is hosted may be held elsewhere too.
pub(super) fn forwarding(contract: &Contract) -> TokenStream {
    let ident = &contract.ident;
    if !contract.broken.is_empty() {
        return TokenStream::new();
    }
    let k = private(contract);
    let methods = contract.methods.iter().map(|method| {
        let (cfgs, name, signature) = (method.cfgs(), &method.ident, signature(contract, method));
        let cx = method.cx.iter().map(|cx| &cx.ident);
        let args = cx.chain(method.args.iter().map(|arg| &arg.ident));
        quote! {
            #(#cfgs)*
            #signature {
                <__T as #ident>::#name(self #(, #args)*)
            }
        }
    });
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl<__T: #ident> #ident for #k::std::sync::Arc<__T> {
            #(#methods)*
        }
    }
}

/// `fn name(&self, …) -> impl Future<…> + Send`, as implementors may write `async fn`.
fn signature(contract: &Contract, method: &Method) -> TokenStream {
    let k = private(contract);
    let name = &method.ident;
    let cx = method.cx.iter().map(|cx| {
        let (ident, ty) = (&cx.ident, &cx.ty);
        quote!(#ident: #ty)
    });
    let args = method.args.iter().map(|arg| {
        let (ident, ty) = (&arg.ident, &arg.ty);
        quote!(#ident: #ty)
    });
    let returns = returns(method);
    let span = name.span();
    let future = quote_spanned!(span=> impl #k::core::future::Future<Output = #returns> + #k::core::marker::Send);
    quote_spanned!(span=> fn #name(&self #(, #cx)* #(, #args)*) -> #future)
}

/// What could not be read, without our attributes, so that implementations still fit it.
fn sanitized(contract: &Contract, item: &TraitItem) -> TokenStream {
    let k = private(contract);
    let TraitItem::Fn(method) = item else { return quote!(#item) };
    let mut method = method.clone();
    for input in &mut method.sig.inputs {
        if let FnArg::Typed(input) = input {
            input.attrs.clear();
            if !matches!(&*input.pat, syn::Pat::Ident(_)) {
                input.pat = syn::parse_quote!(_);
            }
            if parse::lacks_client(&input.ty) {
                input.ty = syn::parse_quote!(&#k::Context<()>);
            }
        }
    }
    if method.sig.asyncness.take().is_some() {
        let output = match &method.sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => quote!(#ty),
        };
        method.sig.output = syn::parse_quote!(-> impl ::core::future::Future<Output = #output> + ::core::marker::Send);
    }
    // A body, were there one, would not be async any more.
    method.default = None;
    method.semi_token = Some(syn::Token![;](proc_macro2::Span::call_site()));
    quote!(#[allow(unused_mut, patterns_in_fns_without_body)] #method)
}
