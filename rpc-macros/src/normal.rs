//! The form in which the macros read a trait: types without the invisible groups that `macro_rules!` puts around them,
//! and one attribute in each `cfg_attr`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, ItemTrait, Meta, Path, Token, Type,
    punctuated::Punctuated,
    visit_mut::{self, VisitMut},
};

/// Brings a trait into the form that the macros read.
pub(crate) fn normalize(item: &mut ItemTrait) {
    Normal.visit_item_trait_mut(item);
}

struct Normal;

impl VisitMut for Normal {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        let inner = match ty {
            Type::Group(group) => &mut group.elem,
            Type::Paren(paren) => &mut paren.elem,
            _ => return,
        };
        // These are the types that `&` does not take in without parentheses.
        if matches!(**inner, Type::ImplTrait(_) | Type::TraitObject(_)) {
            return;
        }
        let inner = std::mem::replace(&mut **inner, Type::Verbatim(TokenStream::new()));
        *ty = inner;
    }

    fn visit_attributes_mut(&mut self, attrs: &mut Vec<Attribute>) {
        let given = std::mem::take(attrs);
        attrs.extend(given.into_iter().flat_map(split));
    }
}

/// The attributes for which a `cfg_attr` stands, each with the condition of its own.
fn split(attr: Attribute) -> Vec<Attribute> {
    let Some((condition, given)) = conditional(&attr) else { return vec![attr] };
    let each = given.into_iter().map(|inner| match syn::parse2(inner.clone()) {
        Ok(Meta::List(list)) if list.path.is_ident("cfg") => {
            let wanted = list.tokens;
            vec![replaced(&attr, list.path, quote!(any(not(#condition), #wanted)))]
        }
        Ok(Meta::List(list)) if list.path.is_ident("cfg_attr") => {
            let nested = replaced(&attr, list.path.clone(), list.tokens);
            match conditional(&nested) {
                Some((second, given)) => {
                    let tokens = quote!(all(#condition, #second) #(, #given)*);
                    split(replaced(&attr, list.path, tokens))
                }
                None => vec![nested],
            }
        }
        _ => vec![replaced(&attr, attr.path().clone(), quote!(#condition, #inner))],
    });
    each.flatten().collect()
}

/// An attribute at the place of `attr`.
fn replaced(attr: &Attribute, path: Path, tokens: TokenStream) -> Attribute {
    let mut attr = attr.clone();
    if let Meta::List(list) = &mut attr.meta {
        list.path = path;
        list.tokens = tokens;
    }
    attr
}

/// The condition of a `cfg_attr`, and its attributes.
fn conditional(attr: &Attribute) -> Option<(TokenStream, Vec<TokenStream>)> {
    let Meta::List(list) = &attr.meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let mut parts = list.parse_args_with(Punctuated::<Part, Token![,]>::parse_terminated).ok()?.into_iter();
    let condition = parts.next()?.0;
    Some((condition, parts.map(|part| part.0).collect()))
}

/// What stands between two commas.
struct Part(TokenStream);

impl syn::parse::Parse for Part {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let mut tokens = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            tokens.extend([input.parse::<proc_macro2::TokenTree>()?]);
        }
        Ok(Self(tokens))
    }
}

/// The path of an attribute; of a `cfg_attr` with one attribute, as [`normalize`] leaves them, the path of that one.
pub(crate) fn path(attr: &Attribute) -> Path {
    let inner = conditional(attr).and_then(|(_, given)| {
        let [inner] = &given[..] else { return None };
        syn::parse2::<Meta>(inner.clone()).ok().map(|meta| meta.path().clone())
    });
    inner.unwrap_or_else(|| attr.path().clone())
}

/// Whether an attribute stands in a `cfg_attr`.
pub(crate) fn is_conditional(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg_attr")
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;

    use super::*;

    fn normal(item: TokenStream) -> String {
        let mut item: ItemTrait = syn::parse2(item).unwrap();
        normalize(&mut item);
        item.to_token_stream().to_string()
    }

    #[test]
    fn each_cfg_attr_has_one_attribute() {
        let given = quote! {
            #[cfg_attr(a, doc = "1", cfg(b), cfg_attr(c, cfg(d), allow(unused)))]
            trait Desk {}
        };
        let expected = quote! {
            #[cfg_attr(a, doc = "1")]
            #[cfg(any(not(a), b))]
            #[cfg(any(not(all(a, c)), d))]
            #[cfg_attr(all(a, c), allow(unused))]
            trait Desk {}
        };
        assert_eq!(normal(given), expected.to_string());
    }

    #[test]
    fn types_have_no_groups_and_no_parentheses() {
        let group = |tokens| proc_macro2::Group::new(proc_macro2::Delimiter::None, tokens);
        let element = group(quote!(u8));
        let slice = group(quote!([#element]));
        let given = quote!(trait Desk { fn f(a: &#slice, b: Vec<#element>, c: (u8), d: &(dyn A + B)) -> #slice; });
        let expected = quote!(
            trait Desk {
                fn f(a: &[u8], b: Vec<u8>, c: u8, d: &(dyn A + B)) -> [u8];
            }
        );
        assert_eq!(normal(given), expected.to_string());
    }
}
