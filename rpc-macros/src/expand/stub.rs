//! The client: a struct with one method for each method of the contract.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::{Lifetime, visit_mut::VisitMut};

use super::{
    broken,
    call::{Kind, arguments, attributes, key, kind},
    client::returned,
    items, private, private_at, shown_at,
};
use crate::{
    model::{Contract, Method},
    options::Role,
    types::streamed,
};

pub(super) fn definition(contract: &Contract) -> TokenStream {
    let (k, client, vis, ident) = (private(contract), contract.client(), &contract.vis, &contract.ident);
    let side = if contract.role == Role::Service { "a server that hosts" } else { "a client that hosts" };
    let doc = format!("Calls {side} [`{ident}`]. Cheap to clone; dropping a call's future cancels the call.");
    let methods = contract.methods.iter().map(|method| stub_method(contract, method));
    let broken = broken::called(contract);
    let with = (!broken::names(contract, "with")).then(|| {
        own! {
            /// A client whose calls have these options, a timeout or metadata. They add to the options of this client,
            /// and replace a timeout or a key of metadata that both set.
            #[must_use]
            pub fn with(&self, options: #k::CallOptions) -> Self {
                Self { peer: self.peer.with(options) }
            }
        }
    });
    let cfgs = contract.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    let cfgs: Vec<_> = cfgs.collect();
    let debug = client.to_string();
    own! {
        #(#cfgs)*
        #[doc = #doc]
        #vis struct #client {
            peer: #k::Peer,
        }

        #(#cfgs)*
        impl #client {
            #with

            #(#methods)*

            #broken
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #k::core::clone::Clone for #client {
            fn clone(&self) -> Self {
                Self { peer: #k::core::clone::Clone::clone(&self.peer) }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #k::core::fmt::Debug for #client {
            fn fmt(&self, f: &mut #k::core::fmt::Formatter<'_>) -> #k::core::fmt::Result {
                f.debug_struct(#debug).field("peer", &self.peer).finish()
            }
        }
    }
}

fn stub_method(contract: &Contract, method: &Method) -> TokenStream {
    let (k, name) = (private(contract), &method.ident);
    let attributes = attributes(contract, method);
    let mut lifetimes = Lifetimes::default();
    let mut taken = Vec::new();
    let args: Vec<_> = method
        .args
        .iter()
        .map(|arg| {
            let (ident, mut ty) = (&arg.ident, arg.ty.clone());
            if let Some((item, fault)) = streamed(&ty) {
                let name = format_ident!("__S{}", taken.len());
                let fault = fault.map_or_else(|| own!(#k::NoFault), |fault| own!(#fault));
                taken.push(own!(#name: #k::IntoStreaming<#item, #fault>));
                return own!(#ident: #name);
            }
            lifetimes.visit_type_mut(&mut ty);
            own!(#ident: #ty)
        })
        .collect();
    let lifetimes = lifetimes.names.iter().map(|lifetime| own!(#lifetime));
    let kept = (0..taken.len()).map(|n| format_ident!("__S{n}")).map(|name| own!(#name));
    let kept: Vec<_> = lifetimes.clone().chain(kept).collect();
    let generics: Vec<_> = lifetimes.chain(taken).collect();
    let returns = returned(contract, &method.output);
    let span = shown_at(name.span());
    let future = quote_spanned!(span=> impl #k::Future<Output = #returns> + #k::Send + use<#(#kept),*>);
    let body = body(contract, method);
    own! {
        #attributes
        pub fn #name<#(#generics),*>(&self #(, #args)*) -> #future {
            #body
        }
    }
}

/// Calls the function of `Peer` that makes the call.
fn body(contract: &Contract, method: &Method) -> TokenStream {
    let (descriptor, span) = (method.descriptor(), shown_at(method.ident.span()));
    let (sent, (kind, decoded)) = (arguments(contract, method), kind(contract, method));
    let streams = || streams(contract, method);
    match (kind, key(contract, method)) {
        (Kind::Oneway, Some(key)) => quote_spanned! {span=>
            let key = #key;
            self.peer.call_oneway_keyed(Self::#descriptor, #sent, key)
        },
        (Kind::Oneway, None) => quote_spanned!(span=> self.peer.call_oneway(Self::#descriptor, #sent)),
        (Kind::Plain, _) => {
            let streams = streams();
            quote_spanned!(span=> self.peer.call(Self::#descriptor, #sent, #streams #decoded))
        }
        (Kind::Fallible, _) => {
            let streams = streams();
            quote_spanned!(span=> self.peer.call_fallible(Self::#descriptor, #sent, #streams #decoded))
        }
    }
}

/// The streams among the arguments.
fn streams(contract: &Contract, method: &Method) -> TokenStream {
    let (descriptor, span) = (method.descriptor(), shown_at(method.ident.span()));
    let k = private_at(contract, span);
    let streams = method.args.iter().filter_map(|arg| {
        let (ident, items) = (&arg.ident, items(&k, &arg.ty)?);
        Some(quote_spanned!(span=> #k::StreamWriter::new::<#items>(#ident, Self::#descriptor)))
    });
    quote_spanned!(span=> #k::StreamWriters::of([#(#streams),*]))
}

/// Names elided lifetimes, so that the future can say which lifetimes it captures.
#[derive(Default)]
struct Lifetimes {
    names: Vec<Lifetime>,
}

impl Lifetimes {
    fn next(&mut self) -> Lifetime {
        let ident = format_ident!("__a{}", self.names.len());
        let lifetime = Lifetime::new(&format!("'{ident}"), Span::mixed_site());
        self.names.push(lifetime.clone());
        lifetime
    }
}

impl VisitMut for Lifetimes {
    fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
        if reference.lifetime.is_none() {
            reference.lifetime = Some(self.next());
        } else if let Some(lifetime) = &mut reference.lifetime {
            self.visit_lifetime_mut(lifetime);
        }
        self.visit_type_mut(&mut reference.elem);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = self.next();
        }
    }
}
