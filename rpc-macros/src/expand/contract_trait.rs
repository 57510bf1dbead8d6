//! The trait itself, with `serve`, and its implementation for `Arc`.

use proc_macro2::TokenStream;
use quote::quote_spanned;

use super::{broken, private, private_at, returns, shown_at};
use crate::model::{Contract, Method};

pub(super) fn definition(contract: &Contract) -> TokenStream {
    let Contract { attrs, vis, ident, generics, supertraits, .. } = contract;
    let k = private(contract);
    let methods = contract.methods.iter().map(|method| {
        let (attrs, signature) = (&method.attrs, signature(contract, method));
        own!(#(#attrs)* #signature;)
    });
    let broken = broken::declared(contract);
    let hosting = hosting(contract);
    let supertraits = (!supertraits.is_empty()).then(|| own!(+ #supertraits));
    own! {
        #(#attrs)*
        #vis trait #ident #generics: #k::Send + #k::Sync + 'static #supertraits {
            #(#methods)*
            #broken

            #hosting
        }
    }
}

/// The functions of the trait that host objects.
fn hosting(contract: &Contract) -> TokenStream {
    let (k, ident, client) = (private(contract), &contract.ident, contract.client());
    let body = if contract.is_broken() {
        [(); 4].map(|()| own!(loop {}))
    } else {
        let descriptor = own!(<#client as #k::Stub>::CONTRACT);
        [
            own!(#k::Service::host(#descriptor, self, #client::__start)),
            own!(#k::Service::per_session(#descriptor, factory, #client::__start)),
            own!(#k::Service::try_per_session(#descriptor, factory, #client::__start)),
            own!(#k::Service::per_call(#descriptor, factory, #client::__start)),
        ]
    };
    let [serve, per_session, try_per_session, per_call] = body;
    let docs = [
        format!(
            "Hosts this object for all sessions: gives the service that a server or client takes in. `{ident}::serve(object)`."
        ),
        format!(
            "Hosts an object a session: `{ident}::per_session(|session| …)` is called when one opens, and the object is dropped when it ends."
        ),
        format!(
            "As `per_session`, for objects whose making takes time or fails: `{ident}::try_per_session(|session| async move {{ … }})`. A status refuses the session."
        ),
        format!("Hosts an object a call: `{ident}::per_call(|cx| …)` is called for each."),
    ];
    let [serve_doc, per_session_doc, try_per_session_doc, per_call_doc] = docs;
    own! {
        #[doc = #serve_doc]
        fn serve(self) -> #k::Service
        where
            Self: #k::Sized,
        {
            #serve
        }

        #[doc = #per_session_doc]
        fn per_session<__F>(factory: __F) -> #k::Service
        where
            Self: #k::Sized,
            __F: #k::Fn(&#k::Session) -> Self + #k::Send + #k::Sync + 'static,
        {
            #per_session
        }

        #[doc = #try_per_session_doc]
        fn try_per_session<__F, __R>(factory: __F) -> #k::Service
        where
            Self: #k::Sized,
            __F: #k::Fn(#k::Session) -> __R + #k::Send + #k::Sync + 'static,
            __R: #k::Future<Output = #k::Result<Self, #k::Status>> + #k::Send + 'static,
        {
            #try_per_session
        }

        #[doc = #per_call_doc]
        fn per_call<__F>(factory: __F) -> #k::Service
        where
            Self: #k::Sized,
            __F: #k::Fn(&#k::Context<#k::Peer>) -> Self + #k::Send + #k::Sync + 'static,
        {
            #per_call
        }
    }
}

/// The implementation of the trait for `Arc`, so that a program can also keep an object that it hosts.
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
        own! {
            #(#cfgs)*
            #signature {
                <__T as #ident>::#name(self #(, #args)*)
            }
        }
    });
    let broken = broken::forwarded(contract);
    let supertraits = &contract.supertraits;
    // Other traits may be without an implementation for `Arc`.
    let clause = (!supertraits.is_empty()).then(|| own!(where #k::Arc<__T>: #supertraits));
    own! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl<__T: #ident> #ident for #k::Arc<__T> #clause {
            #(#methods)*
            #broken
        }
    }
}

/// `fn name(&self, …) -> impl Future<…> + Send`, as implementors may write `async fn`.
fn signature(contract: &Contract, method: &Method) -> TokenStream {
    let name = &method.ident;
    // If a handler's future is not `Send`, the compiler points here.
    let k = private_at(contract, name.span());
    let cx = method.cx.iter().map(|cx| {
        let (ident, ty) = (&cx.ident, &cx.ty);
        own!(#ident: #ty)
    });
    let args = method.args.iter().map(|arg| {
        let (ident, ty) = (&arg.ident, &arg.ty);
        own!(#ident: #ty)
    });
    let returns = returns(method);
    let span = shown_at(name.span());
    let future = quote_spanned!(span=> impl #k::Future<Output = #returns> + #k::Send);
    quote_spanned!(span=> fn #name(&self #(, #cx)* #(, #args)*) -> #future)
}
