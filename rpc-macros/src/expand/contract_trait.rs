//! The trait itself, with `serve`, and its implementation for `Arc`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{broken, dispatch, private, private_at, returns, shown_at};
use crate::model::{Contract, Method};

pub(super) fn definition(contract: &Contract) -> TokenStream {
    let Contract { attrs, vis, ident, generics, supertraits, .. } = contract;
    let k = private(contract);
    let methods = contract.methods.iter().map(|method| {
        let (attrs, signature) = (&method.attrs, signature(contract, method));
        quote!(#(#attrs)* #signature;)
    });
    let broken = broken::declared(contract);
    let serve = serve(contract);
    let message = format!("`{{Self}}` does not implement the contract `{ident}`");
    let label = format!("`impl {ident} for …` is missing");
    let serve_doc =
        format!("Hosts this object: gives the service that a server or client takes in. `{ident}::serve(object)`.");
    let supertraits = (!supertraits.is_empty()).then(|| quote!(+ #supertraits));
    quote! {
        #(#attrs)*
        #[diagnostic::on_unimplemented(message = #message, label = #label)]
        #vis trait #ident #generics: #k::Send + #k::Sync + 'static #supertraits {
            #(#methods)*
            #broken

            #[doc = #serve_doc]
            fn serve(self) -> #k::Service
            where
                Self: #k::Sized,
            {
                #serve
            }
        }
    }
}

/// The body of `serve`.
fn serve(contract: &Contract) -> TokenStream {
    if contract.is_broken() {
        return quote!(loop {});
    }
    let (k, client, start) = (private(contract), contract.client(), dispatch::start(contract));
    quote! {
        #start
        #k::Service::host(<#client as #k::Stub>::CONTRACT, self, start::<Self>)
    }
}

/// An object that is hosted may be held elsewhere too.
pub(super) fn forwarding(contract: &Contract) -> TokenStream {
    let ident = &contract.ident;
    if !broken::can_be_forwarded(contract) {
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
    let broken = broken::forwarded(contract);
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl<__T: #ident> #ident for #k::Arc<__T> {
            #(#methods)*
            #broken
        }
    }
}

/// `fn name(&self, …) -> impl Future<…> + Send`, as implementors may write `async fn`.
fn signature(contract: &Contract, method: &Method) -> TokenStream {
    let name = &method.ident;
    // Where a handler whose future is not `Send` is told what asks for it.
    let k = private_at(contract, name.span());
    let cx = method.cx.iter().map(|cx| {
        let (ident, ty) = (&cx.ident, &cx.ty);
        quote!(#ident: #ty)
    });
    let args = method.args.iter().map(|arg| {
        let (ident, ty) = (&arg.ident, &arg.ty);
        quote!(#ident: #ty)
    });
    let returns = returns(method);
    let span = shown_at(name.span());
    let future = quote_spanned!(span=> impl #k::Future<Output = #returns> + #k::Send);
    quote_spanned!(span=> fn #name(&self #(, #cx)* #(, #args)*) -> #future)
}
