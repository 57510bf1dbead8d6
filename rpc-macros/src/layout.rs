//! Layouts: where in a type binary data stands, as far as the tokens tell. `wire/layout.rs` of `rpc-core` has the types
//! that layouts become.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::{GenericArgument, PathArguments, Type};

use crate::types::{is_named, is_owned_binary, last_segment, type_arguments};

/// The layout of a type that contains binary data.
pub(crate) enum Layout {
    /// Binary data itself.
    Octets,
    /// A type that takes one layout: which, and the layout in it.
    Of(&'static str, Box<Layout>),
    /// A tuple. `None` stands for a part without binary data.
    Tuple(Vec<Option<Layout>>),
}

/// Tuples with more parts have no layout.
const MAX_TUPLE: usize = 8;

impl Layout {
    /// The layout of a type; `None` if serde alone encodes it well, because no binary data is in it.
    pub(crate) fn of(ty: &Type) -> Option<Self> {
        if is_binary(ty) {
            return Some(Self::Octets);
        }
        let within = |name, ty| Some(Self::Of(name, Box::new(Self::of(ty)?)));
        match ty {
            Type::Array(array) => within("Each", &array.elem),
            Type::Tuple(tuple) if tuple.elems.len() <= MAX_TUPLE => {
                let parts: Vec<_> = tuple.elems.iter().map(Self::of).collect();
                parts.iter().any(Option::is_some).then_some(Self::Tuple(parts))
            }
            _ => {
                let segment = last_segment(ty)?;
                match (segment.ident.to_string().as_str(), &type_arguments(segment)[..]) {
                    ("Option", [inner]) => within("Maybe", inner),
                    ("Vec" | "VecDeque", [inner]) => within("Each", inner),
                    ("HashMap" | "BTreeMap", [_, inner] | [_, inner, _]) => within("Entries", inner),
                    ("Box", [inner]) => within("Boxed", inner),
                    _ => None,
                }
            }
        }
    }

    /// The layout of a slice's items, if binary data is in them.
    pub(crate) fn of_items(element: &Type) -> Option<Self> {
        Some(Self::Of("Each", Box::new(Self::of(element)?)))
    }

    /// The layout as a type.
    pub(crate) fn tokens(&self, k: &TokenStream, span: Span) -> TokenStream {
        match self {
            Self::Octets => quote_spanned!(span=> #k::Octets),
            Self::Of(name, inner) => {
                let (name, inner) = (proc_macro2::Ident::new(name, span), inner.tokens(k, span));
                quote_spanned!(span=> #k::#name<#inner>)
            }
            Self::Tuple(parts) => {
                let parts = parts.iter().map(|part| match part {
                    Some(part) => part.tokens(k, span),
                    None => quote_spanned!(span=> #k::Same),
                });
                quote_spanned!(span=> (#(#parts,)*))
            }
        }
    }
}

/// `&[u8]`, `Vec<u8>`, `Bytes`, `Box<[u8]>` or `Cow<'_, [u8]>`.
fn is_binary(ty: &Type) -> bool {
    let boxed = |name| {
        is_named(ty, name) && last_segment(ty).is_some_and(|of| matches!(type_arguments(of)[..], [of] if is_octets(of)))
    };
    is_lent(ty) || is_owned_binary(ty) || boxed("Box") || boxed("Cow")
}

/// `&[u8]`.
fn is_lent(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if is_octets(&reference.elem))
}

/// `[u8]`.
fn is_octets(ty: &Type) -> bool {
    matches!(ty, Type::Slice(slice) if is_named(&slice.elem, "u8"))
}

/// A `&[u8]` in a type whose layout is not known. Serde would encode the slice as numbers, and could not lend it to the
/// other end.
pub(crate) fn misplaced(ty: &Type) -> Option<&Type> {
    if is_lent(ty) {
        return Some(ty);
    }
    match ty {
        Type::Reference(reference) => unless_laid(&reference.elem),
        Type::Slice(slice) => unless_laid(&slice.elem),
        Type::Array(array) => unless_laid(&array.elem),
        Type::Tuple(tuple) if tuple.elems.len() <= MAX_TUPLE => tuple.elems.iter().find_map(unless_laid),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(misplaced),
        Type::Path(path) => path.path.segments.iter().find_map(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => misplaced(ty),
                _ => None,
            }),
            _ => None,
        }),
        _ => None,
    }
}

/// As [`misplaced`], for a type at a place where a layout is taken.
pub(crate) fn unless_laid(ty: &Type) -> Option<&Type> {
    if is_binary(ty) {
        return None;
    }
    match (ty, last_segment(ty)) {
        (Type::Path(_), Some(segment)) => {
            let arguments = type_arguments(segment);
            match (segment.ident.to_string().as_str(), &arguments[..]) {
                ("Option" | "Vec" | "VecDeque" | "Box", [inner]) => unless_laid(inner),
                ("HashMap" | "BTreeMap", [key, inner, ..]) => misplaced(key).or_else(|| unless_laid(inner)),
                _ => misplaced(ty),
            }
        }
        _ => misplaced(ty),
    }
}

#[cfg(test)]
mod tests {
    use quote::{ToTokens, quote};
    use syn::parse_quote;

    use super::*;

    fn layout(ty: Type) -> Option<String> {
        Layout::of(&ty).map(|layout| layout.tokens(&quote!(k), Span::call_site()).to_string().replace(' ', ""))
    }

    #[test]
    fn binary_data_is_found_in_known_types() {
        for (ty, expected) in [
            (parse_quote!(u32), None),
            (parse_quote!(Vec<u32>), None),
            (parse_quote!(Page<Vec<u8>>), None),
            (parse_quote!(Option<&[u8]>), Some("k::Maybe<k::Octets>")),
            (parse_quote!(Vec<Bytes>), Some("k::Each<k::Octets>")),
            (parse_quote!((Vec<u8>, u32)), Some("(k::Octets,k::Same,)")),
            (parse_quote!(HashMap<String, [Vec<u8>; 2]>), Some("k::Entries<k::Each<k::Octets>>")),
            (parse_quote!(Option<Box<[u8]>>), Some("k::Maybe<k::Octets>")),
            (parse_quote!(std::borrow::Cow<'_, [u8]>), Some("k::Octets")),
        ] {
            assert_eq!(layout(ty).as_deref(), expected);
        }
    }

    #[test]
    fn slices_are_found_in_other_types() {
        let found = |ty: Type| unless_laid(&ty).is_some();
        for ty in [parse_quote!(Page<&[u8]>), parse_quote!(Option<Page<&[u8]>>), parse_quote!(HashMap<&[u8], u32>)] {
            assert!(found(ty));
        }
        for ty in [parse_quote!(&[u8]), parse_quote!(Option<(&[u8], u32)>), parse_quote!(Page<Vec<u8>>)] {
            assert!(!found(ty));
        }
        let cow: Type = parse_quote!(Cow<'_, [u8]>);
        assert!(unless_laid(&cow).is_none(), "{}", cow.to_token_stream());
    }
}
