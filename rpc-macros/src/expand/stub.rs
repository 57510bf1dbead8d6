//! The client: a struct with one method for each method of the contract.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::{Lifetime, Type, visit_mut::VisitMut};

use super::{
    broken,
    client::{passes_on, returned},
    codec, items, ok_of_alias, private, private_at, probe, shown_at,
};
use crate::{
    layout::Layout,
    model::{ArgKind, Broken, Contract, Method, Output},
    options::Role,
    types::streamed,
};

pub(super) fn definition(contract: &Contract) -> TokenStream {
    let (k, client, vis, ident) = (private(contract), contract.client(), &contract.vis, &contract.ident);
    let side = if contract.role == Role::Service { "a server that hosts" } else { "a client that hosts" };
    let doc = format!("Calls {side} [`{ident}`]. Cheap to clone; dropping a call's future cancels the call.");
    let methods = contract.methods.iter().map(|method| stub_method(contract, method));
    let broken = broken::called(contract);
    let is_taken = |item: &Broken| matches!(item, Broken::Method(broken) if broken.method.sig.ident == "with");
    let with = (!contract.broken.iter().any(is_taken)).then(|| {
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
    let (k, name, descriptor) = (private(contract), &method.ident, method.descriptor());
    let attrs = method.attrs.iter().filter(|attr| passes_on(attr));
    let doc = (!method.attrs.iter().any(|attr| attr.path().is_ident("doc")))
        .then(|| format!("Calls `{}.{}`.", contract.name, method.name))
        .map(|doc| own!(#[doc = #doc]));
    let mut lifetimes = Lifetimes::default();
    let mut streams = Vec::new();
    let args: Vec<_> = method
        .args
        .iter()
        .map(|arg| {
            let (ident, mut ty) = (&arg.ident, arg.ty.clone());
            if let Some((item, fault)) = streamed(&ty) {
                let name = format_ident!("__S{}", streams.len());
                let fault = fault.map_or_else(|| own!(#k::NoFault), |fault| own!(#fault));
                streams.push(own!(#name: #k::IntoStreaming<#item, #fault>));
                return own!(#ident: #name);
            }
            lifetimes.visit_type_mut(&mut ty);
            own!(#ident: #ty)
        })
        .collect();
    let lifetimes = lifetimes.names.iter().map(|lifetime| own!(#lifetime));
    let kept = (0..streams.len()).map(|n| format_ident!("__S{n}")).map(|name| own!(#name));
    let kept: Vec<_> = lifetimes.clone().chain(kept).collect();
    let generics: Vec<_> = lifetimes.chain(streams).collect();
    let sent = sent(contract, method);
    let (returns, (call, decoded)) = (returned(contract, &method.output), call(contract, method));
    let span = shown_at(name.span());
    let future = quote_spanned!(span=> impl #k::Future<Output = #returns> + #k::Send + use<#(#kept),*>);
    // All code that requires serde has one span, so that the compiler reports a forgotten derive once, at the method.
    let body = quote_spanned!(span=> self.peer.#call(Self::#descriptor, #sent #decoded));
    own! {
        #(#attrs)*
        #doc
        pub fn #name<#(#generics),*>(&self #(, #args)*) -> #future {
            #body
        }
    }
}

/// The arguments as the call serializes them: a tuple, in which binary data is marked.
fn sent(contract: &Contract, method: &Method) -> TokenStream {
    let span = shown_at(method.ident.span());
    let k = private_at(contract, span);
    if method.args.is_empty() {
        return with_streams(method, quote_spanned!(span=> #k::NoArguments), &k, span);
    }
    let args = method.args.iter().map(|arg| {
        let ident = &arg.ident;
        let laid = |layout: Option<Layout>, wrapper: &str| match layout {
            Some(layout) => {
                let (wrapper, layout) = (Ident::new(wrapper, span), layout.tokens(&k, span));
                quote_spanned!(span=> #k::#wrapper::<_, #layout>::new(#ident))
            }
            None => quote_spanned!(span=> #ident),
        };
        let probed = |ty: &Type| probe(contract, ty).map(|probe| quote_spanned!(span=> #probe.sent(#ident)));
        match &arg.kind {
            ArgKind::BinarySlice => quote_spanned!(span=> #k::Bin(#ident)),
            ArgKind::BinaryVec | ArgKind::Bytes => quote_spanned!(span=> #k::Blob::new(#ident)),
            ArgKind::Streaming => quote_spanned!(span=> #k::Nil),
            ArgKind::Value => probed(&arg.ty).unwrap_or_else(|| laid(Layout::of(&arg.ty), "Laid")),
            ArgKind::Lent(ty) => probed(ty).unwrap_or_else(|| laid(Layout::of(ty), "LaidRef")),
            ArgKind::LentSlice(element) => laid(Layout::of_items(element), "LaidRef"),
        }
    });
    with_streams(method, quote_spanned!(span=> (#(#args,)*)), &k, span)
}

/// The arguments, and the streams among them. One-way calls have no streams.
fn with_streams(method: &Method, arguments: TokenStream, k: &TokenStream, span: Span) -> TokenStream {
    if matches!(method.output, Output::Oneway) {
        return arguments;
    }
    let descriptor = method.descriptor();
    let streams = method.args.iter().filter_map(|arg| {
        let (ident, items) = (&arg.ident, items(k, &arg.ty)?);
        Some(quote_spanned!(span=> #k::StreamWriter::new::<#items>(#ident, Self::#descriptor)))
    });
    quote_spanned!(span=> #arguments, #k::StreamWriters::of([#(#streams),*]))
}

/// The function of `Peer` that makes the call, and how it decodes the answer.
fn call(contract: &Contract, method: &Method) -> (TokenStream, TokenStream) {
    let span = shown_at(method.ident.span());
    let k = private_at(contract, span);
    let marker = |ty: TokenStream| quote_spanned!(span=> #k::decoded::<#ty>());
    let decoded = |ty: &Type| match (items(&k, ty), probe(contract, ty)) {
        (Some(items), _) => marker(quote_spanned!(span=> #k::Streamed<#items>)),
        (None, Some(probe)) => quote_spanned!(span=> #probe.output()),
        (None, None) => {
            let codec = codec(&k, ty);
            marker(quote_spanned!(span=> #k::Single<#codec>))
        }
    };
    match &method.output {
        Output::Oneway => (quote_spanned!(span=> call_oneway), TokenStream::new()),
        Output::Plain(ty) | Output::Status(ty) => {
            let decoded = decoded(ty);
            (quote_spanned!(span=> call), quote_spanned!(span=> , #decoded))
        }
        Output::Fallible(ok, err) | Output::FallibleOrStatus(ok, err) => {
            let fault = match probe(contract, err) {
                Some(probe) => quote_spanned!(span=> #probe.fault()),
                None => marker(quote_spanned!(span=> #k::Value<#err>)),
            };
            let decoded = decoded(ok);
            (quote_spanned!(span=> call_fallible), quote_spanned!(span=> , #decoded, #fault))
        }
        Output::Alias(ty) => {
            let (ok, err) = (own!(<#ty as #k::Fallible>::Ok), own!(<#ty as #k::Fallible>::Err));
            let decoded = match ok_of_alias(ty) {
                Some(ok) => decoded(ok),
                None => marker(quote_spanned!(span=> #k::Single<#k::Value<#ok>>)),
            };
            let fault = marker(quote_spanned!(span=> #k::Value<#err>));
            (quote_spanned!(span=> call_fallible), quote_spanned!(span=> , #decoded, #fault))
        }
    }
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
