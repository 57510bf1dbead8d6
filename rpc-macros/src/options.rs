//! What stands in `#[service(…)]`, `#[callback(…)]` and `#[rpc(…)]`.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{
    Attribute, LitInt, LitStr, Meta, Path, Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
    spanned::Spanned,
};

use crate::errors::Errors;

/// Which macro is at work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Service,
    Callback,
}

/// The options of a contract.
#[derive(Default)]
pub(crate) struct ContractOptions {
    pub(crate) callback: Option<Path>,
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Option<Path>,
}

/// The options of a method.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) oneway: Option<Span>,
    pub(crate) idempotent: Option<Span>,
    pub(crate) timeout: Option<(Span, u64)>,
    pub(crate) name: Option<LitStr>,
    pub(crate) id: Option<u32>,
    pub(crate) no_cancel: Option<Span>,
    pub(crate) not_initiating: Option<Span>,
    pub(crate) terminating: Option<Span>,
    pub(crate) spawn: Option<Span>,
    pub(crate) fallible: Option<Span>,
}

const METHOD_OPTIONS: [&str; 10] =
    ["oneway", "idempotent", "timeout", "name", "id", "no_cancel", "initiating", "terminating", "spawn", "fallible"];

impl ContractOptions {
    pub(crate) fn parse(tokens: TokenStream, role: Role, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let valid: &[&str] = match role {
            Role::Service => &["callback", "name", "crate"],
            Role::Callback => &["name", "crate"],
        };
        each(tokens, errors, |key, input, errors| {
            match key.to_string().as_str() {
                "callback" if role == Role::Callback => {
                    value::<Path>(input)?;
                    errors.on(
                        key,
                        "a callback contract has no callbacks of its own: its handlers reach the service through \
                         `cx: &Context<…Client>`; remove `callback`, or use #[service(callback = …)]",
                    );
                }
                "callback" => set(key, &mut options.callback, value(input)?, errors),
                "name" => set(key, &mut options.name, value(input)?, errors),
                "crate" => {
                    let path: LitStr = value(input)?;
                    set(key, &mut options.krate, path.parse_with(Path::parse_mod_style)?, errors);
                }
                _ => {
                    skip_value(input)?;
                    errors.on(key, unknown(key, valid));
                }
            }
            Ok(())
        });
        options
    }
}

impl MethodOptions {
    /// Takes the `#[rpc(…)]` attributes out of `attrs` and reads them.
    pub(crate) fn take(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        for tokens in take_rpc(attrs, errors) {
            each(tokens, errors, |key, input, errors| {
                let span = key.span();
                match key.to_string().as_str() {
                    "oneway" => set(key, &mut options.oneway, span, errors),
                    "idempotent" => set(key, &mut options.idempotent, span, errors),
                    "no_cancel" => set(key, &mut options.no_cancel, span, errors),
                    "terminating" => set(key, &mut options.terminating, span, errors),
                    "spawn" => set(key, &mut options.spawn, span, errors),
                    "fallible" => set(key, &mut options.fallible, span, errors),
                    "initiating" => {
                        if !value::<syn::LitBool>(input)?.value {
                            set(key, &mut options.not_initiating, span, errors);
                        }
                    }
                    "name" => set(key, &mut options.name, value(input)?, errors),
                    "timeout" => {
                        let text: LitStr = value(input)?;
                        match millis(&text.value()) {
                            Ok(ms) => set(key, &mut options.timeout, (span, ms), errors),
                            Err(why) => errors.on(&text, why),
                        }
                    }
                    "id" => {
                        let id: LitInt = value(input)?;
                        match id.base10_parse() {
                            Ok(id) => set(key, &mut options.id, id, errors),
                            Err(_) => errors.on(&id, "an id is a number of 32 bits, for instance `id = 0x1f2e3d4c`"),
                        }
                    }
                    _ => {
                        skip_value(input)?;
                        errors.on(key, unknown(key, &METHOD_OPTIONS));
                    }
                }
                Ok(())
            });
        }
        options
    }
}

/// Takes the `#[rpc(…)]` attributes of an argument out of `attrs`; whether they say `default`.
pub(crate) fn take_argument_options(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> bool {
    let mut default = None;
    for tokens in take_rpc(attrs, errors) {
        each(tokens, errors, |key, input, errors| {
            if key == "default" {
                set(key, &mut default, key.span(), errors);
            } else {
                skip_value(input)?;
                errors.on(key, unknown(key, &["default"]));
            }
            Ok(())
        });
    }
    default.is_some()
}

fn take_rpc(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Vec<TokenStream> {
    let mut found = Vec::new();
    attrs.retain(|attr| {
        if !attr.path().is_ident("rpc") {
            return true;
        }
        match &attr.meta {
            Meta::List(list) => found.push(list.tokens.clone()),
            other => errors.on(other, "write the options in parentheses: #[rpc(oneway)]"),
        }
        false
    });
    found
}

/// Reads `key`, `key = value`, … and goes on after an error as well as it can.
fn each(
    tokens: TokenStream,
    errors: &mut Errors,
    mut option: impl FnMut(&Ident, ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) {
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            if let Err(error) = option(&key, input, errors) {
                errors.push(error);
                skip_to_comma(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        errors.push(error);
    }
}

fn value<T: syn::parse::Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn skip_value(input: ParseStream<'_>) -> syn::Result<()> {
    skip_to_comma(input)
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

fn set<T>(key: &Ident, place: &mut Option<T>, value: T, errors: &mut Errors) {
    if place.replace(value).is_some() {
        errors.on(key, format!("`{key}` is given twice; remove one"));
    }
}

fn unknown(key: &Ident, valid: &[&str]) -> String {
    let given = key.to_string();
    let near = valid.iter().find(|name| distance(name, &given) <= 2);
    let hint = near.map_or(String::new(), |name| format!(" Did you mean `{name}`?"));
    format!("unknown option `{given}`.{hint} Valid ones: {}", valid.join(", "))
}

/// Levenshtein's distance.
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

/// Milliseconds of a time like `"1500ms"`, `"5s"`, `"2m"` or `"1h"`.
fn millis(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(ms) if ms > 0 => Ok(ms),
        _ => Err(format!("`{text}` is not a time; write a number and a unit: \"250ms\", \"5s\", \"2m\" or \"1h\"")),
    }
}

/// Keeps the borrow of a span short.
pub(crate) fn span_of(tokens: &impl Spanned) -> Span {
    tokens.span()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(
            [millis("250ms"), millis("5s"), millis("2m"), millis("1h")].map(Result::unwrap),
            [250, 5_000, 120_000, 3_600_000]
        );
        for bad in ["", "5", "s", "5 days", "0s", "99999999999999999999s"] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn near_misses_are_found() {
        assert!(distance("oneway", "one_way") <= 2);
        assert!(distance("timeout", "idempotent") > 2);
    }
}
