//! Reading options: `key` or `key = value`, with commas between them.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::{
    Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
};

use crate::errors::Errors;

/// Reads options, and goes on behind an option that has an error.
pub(super) fn each(
    tokens: TokenStream,
    valid: &[&str],
    errors: &mut Errors,
    mut option: impl FnMut(&Ident, ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) {
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let read = match input.call(Ident::parse_any) {
                Ok(key) => option(&key, input, errors),
                Err(_) => Err(input.error(format!("this is not an option. Valid ones: {}", valid.join(", ")))),
            };
            if let Err(error) = read {
                errors.push(error);
                rest_of_option(input)?;
            }
            if input.parse::<Option<Token![,]>>()?.is_none() && !input.is_empty() {
                errors.push(input.error("a comma is missing before this"));
                if !input.peek(Ident::peek_any) {
                    rest_of_option(input)?;
                }
            }
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        errors.push(error);
    }
}

/// Reads the value of `key`. Errors show `example`.
pub(super) fn value<T: Parse>(key: &Ident, input: ParseStream<'_>, example: &str) -> syn::Result<T> {
    let equals = input.parse::<Option<Token![=]>>()?;
    if equals.is_none() || input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(key.span(), format!("`{key}` needs a value: `{example}`")));
    }
    let ahead = input.fork();
    // The parser's own words name a kind of token, which says less than an example.
    input.parse().or_else(|_| {
        let given = rest_of_option(&ahead)?;
        Err(syn::Error::new_spanned(given, format!("write it like this: `{example}`")))
    })
}

/// Reads a key without a value.
pub(super) fn flag(key: &Ident, input: ParseStream<'_>) -> syn::Result<Span> {
    if input.peek(Token![=]) || input.peek(syn::token::Paren) {
        return Err(syn::Error::new(
            key.span(),
            format!("`{key}` takes no value; write `{key}` alone, or leave it out"),
        ));
    }
    Ok(key.span())
}

pub(super) fn set<T>(key: &Ident, place: &mut Option<T>, value: T, errors: &mut Errors) {
    if place.replace(value).is_some() {
        errors.on(key, format!("`{key}` is given twice; remove one"));
    }
}

pub(super) fn unknown(key: &Ident, valid: &[&str]) -> syn::Error {
    let given = key.to_string();
    let hint = nearest(&given, valid);
    syn::Error::new(key.span(), format!("unknown option `{given}`.{hint} Valid ones: {}", valid.join(", ")))
}

/// A question after the valid word that is like the given one; empty if there is none.
pub(super) fn nearest(given: &str, valid: &[&str]) -> String {
    let near = valid.iter().find(|name| distance(name, given) <= 2);
    near.map_or(String::new(), |name| format!(" Did you mean `{name}`?"))
}

fn rest_of_option(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let mut rest = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        rest.extend([input.parse::<TokenTree>()?]);
    }
    Ok(rest)
}

/// The Levenshtein distance between two words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found() {
        assert!(distance("oneway", "one_way") <= 2);
        assert!(distance("timeout", "idempotent") > 2);
    }
}
