//! The constants that describe a contract at run time.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::Path;

use super::{is_oneway, private};
use crate::{
    model::{Contract, Method},
    options::Role,
    parse::client_of,
};

pub(super) fn stub_impl(contract: &Contract) -> TokenStream {
    let (k, client, name) = (private(contract), contract.client(), &contract.name);
    let constants = contract.methods.iter().map(|method| constant(contract, method));
    let methods = contract.methods.iter().map(|method| {
        let (cfgs, descriptor) = (method.cfgs(), method.descriptor());
        quote!(#(#cfgs)* Self::#descriptor)
    });
    let callback = contract.callback.as_ref().map(|callback| {
        let client = client_of(callback);
        let with = if contract.optional.is_some() { quote!(with_optional_callback) } else { quote!(with_callback) };
        quote!(.#with(<#client as #k::Stub>::CONTRACT))
    });
    let contexts = contexts(contract);
    quote! {
        #contexts

        // The constants have the names of the methods, of which two may differ in case alone.
        #[allow(non_upper_case_globals)]
        impl #client {
            #(#constants)*
        }

        #[automatically_derived]
        impl #k::Stub for #client {
            const CONTRACT: &'static #k::ContractDescriptor =
                &#k::ContractDescriptor::new(#name, &[#(#methods),*])#callback;

            fn from_peer(peer: #k::Peer) -> Self {
                Self { peer }
            }

            fn as_peer(&self) -> &#k::Peer {
                &self.peer
            }
        }
    }
}

/// What a service's handlers may have in their contexts.
fn contexts(contract: &Contract) -> TokenStream {
    if contract.role == Role::Callback {
        return TokenStream::new();
    }
    let (k, client) = (private(contract), contract.client());
    let own = std::iter::once(quote!(#client));
    let is_own = |callback: &Path| callback.is_ident(&contract.ident) && contract.optional.is_none();
    let expected = expected(contract);
    let callback = contract.callback.as_ref().filter(|callback| !is_own(callback)).map(|_| expected.clone());
    let clients = own.chain(callback);
    quote! {
        #(
            #[automatically_derived]
            impl #k::CallsBack<#clients, #expected> for #client {}
        )*
    }
}

/// What the contexts of a service's handlers have, if the handlers call back.
pub(super) fn expected(contract: &Contract) -> TokenStream {
    let k = private(contract);
    match (contract.callback.as_ref().map(client_of), contract.optional) {
        (Some(client), Some(_)) => quote!(#k::core::option::Option<#client>),
        (Some(client), None) => quote!(#client),
        (None, _) => contract.client().into_token_stream(),
    }
}

fn constant(contract: &Contract, method: &Method) -> TokenStream {
    let (k, descriptor) = (private(contract), method.descriptor());
    let (cfgs, contract, name, id) = (method.cfgs(), &contract.name, &method.name, method.id);
    let arity = u8::try_from(method.args.len()).unwrap_or(u8::MAX);
    let options = &method.options;
    let flags = [
        is_oneway(method).then(|| quote!(.oneway())),
        options.idempotent.map(|_| quote!(.idempotent())),
        options.no_cancel.map(|_| quote!(.no_cancel())),
        options.spawn.map(|_| quote!(.spawn())),
        options.not_initiating.map(|_| quote!(.not_initiating())),
        options.terminating.map(|_| quote!(.terminating())),
        options.timeout.map(|(_, ms)| quote!(.with_timeout_ms(#ms))),
        options.idle_timeout.map(|(_, ms)| quote!(.with_idle_timeout_ms(#ms))),
        options.allow.as_ref().map(|role| quote!(.with_allow(#role))),
        options.window.map(|(_, bytes)| quote!(.with_window(#bytes))),
        options.overflow.map(|overflow| {
            let variant = format_ident!("{}", overflow.variant);
            quote!(.with_overflow(#k::Overflow::#variant))
        }),
        options.ttl.map(|(_, ms)| quote!(.with_ttl_ms(#ms))),
    ];
    let flags = flags.iter().flatten();
    quote! {
        #(#cfgs)*
        const #descriptor: &'static #k::MethodDescriptor =
            &#k::MethodDescriptor::new(#contract, #name, #arity).with_id(#id)#(#flags)*;
    }
}
