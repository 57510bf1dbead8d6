//! The form for groups: a struct whose methods call all sessions of a group.

use proc_macro2::TokenStream;
use quote::quote_spanned;

use super::{
    broken,
    call::{Kind, arguments, attributes, key, kind},
    client::returned_by_many,
    private, private_at, shown_at,
};
use crate::model::{Contract, Method};

pub(super) fn definition(contract: &Contract) -> TokenStream {
    if !contract.is_group {
        return TokenStream::new();
    }
    let (k, client, group) = (private(contract), contract.client(), contract.group());
    let (vis, ident) = (&contract.vis, &contract.ident);
    let doc = format!(
        "Calls many clients that host [`{ident}`] at once, each of a group for instance. Cheap to clone. The arguments \
         are encoded when a method is called, and go out when its result is awaited."
    );
    let methods = contract.methods.iter().filter(|method| !method.has_stream()).map(|method| called(contract, method));
    let broken = broken::called_in_groups(contract);
    let with = (!broken::names(contract, "with")).then(|| {
        own! {
            /// The same clients, called with these options: as `with` of the client of one.
            #[must_use]
            pub fn with(&self, options: #k::CallOptions) -> Self {
                Self { audience: self.audience.with(options) }
            }
        }
    });
    let cfgs = contract.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    let cfgs: Vec<_> = cfgs.collect();
    let debug = group.to_string();
    own! {
        #(#cfgs)*
        #[doc = #doc]
        #vis struct #group {
            audience: #k::Audience,
        }

        #(#cfgs)*
        impl #group {
            #with

            #(#methods)*

            #broken
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #k::core::clone::Clone for #group {
            fn clone(&self) -> Self {
                Self { audience: #k::core::clone::Clone::clone(&self.audience) }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #k::core::fmt::Debug for #group {
            fn fmt(&self, f: &mut #k::core::fmt::Formatter<'_>) -> #k::core::fmt::Result {
                f.debug_struct(#debug).field("audience", &self.audience).finish()
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #k::GroupStub for #client {
            type Group = #group;

            fn of_audience(audience: #k::Audience) -> #group {
                #group { audience }
            }
        }
    }
}

fn called(contract: &Contract, method: &Method) -> TokenStream {
    let (name, client, descriptor) = (&method.ident, contract.client(), method.descriptor());
    let attributes = attributes(contract, method);
    let args = method.args.iter().map(|arg| {
        let (ident, ty) = (&arg.ident, &arg.ty);
        own!(#ident: #ty)
    });
    let (sent, (kind, decoded)) = (arguments(contract, method), kind(contract, method));
    let span = shown_at(name.span());
    let k = private_at(contract, span);
    let key = match key(contract, method) {
        Some(key) => quote_spanned!(span=> #k::core::option::Option::Some(#key)),
        None => quote_spanned!(span=> #k::core::option::Option::None),
    };
    let body = match kind {
        Kind::Oneway => quote_spanned! {span=>
            let key = #key;
            self.audience.broadcast(#client::#descriptor, #sent, key)
        },
        Kind::Plain => quote_spanned!(span=> self.audience.ask(#client::#descriptor, #sent #decoded)),
        Kind::Fallible => quote_spanned!(span=> self.audience.ask_fallible(#client::#descriptor, #sent #decoded)),
    };
    let returns = returned_by_many(contract, &method.output);
    own! {
        #attributes
        pub fn #name(&self #(, #args)*) -> #returns {
            #body
        }
    }
}
