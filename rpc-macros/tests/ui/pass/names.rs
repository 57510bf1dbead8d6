#![deny(warnings)]
#![allow(non_snake_case)]

macro_rules! methods {
    ($contract:ident: $($name:ident)*) => {
        #[rpc_core::service]
        pub trait $contract {
            $(async fn $name(&self, $name: &str, more: std::vec::Vec<u8>) -> u32;)*
        }

        impl $contract for Object {
            $(async fn $name(&self, $name: &str, more: std::vec::Vec<u8>) -> u32 {
                u32::try_from($name.len() + more.len()).unwrap_or(0)
            })*
        }

    };
}

macro_rules! contracts {
    ($($name:ident)*) => {
        $(const _: () = {
            #[rpc_core::callback]
            pub trait Seen {
                async fn confirm(&self, question: &str) -> bool;
            }

            #[rpc_core::service(callback = Seen)]
            pub trait $name {
                async fn note(
                    &self,
                    cx: &rpc_core::Context<SeenClient>,
                    text: &str,
                    bytes: std::vec::Vec<u8>,
                ) -> std::result::Result<u32, u8>;
                #[rpc(oneway)]
                async fn tell(&self, text: &str);
                async fn stream(&self, items: rpc_core::Streaming<u32>) -> rpc_core::Streaming<u32>;
            }
        };)*
    };
}

macro_rules! arguments {
    ($($method:ident: $($name:ident)*;)*) => {
        #[rpc_core::service]
        pub trait Arguments {
            $(async fn $method(&self, $($name: &[u32],)* items: rpc_core::Streaming<u32>) -> Result<Vec<u8>, u8>;)*
        }
    };
}

pub struct Object;

methods! {
    Methods:
    // Of the prelude, of traits in it, and of derived traits.
    from try_from default new eq ne cmp partial_cmp hash fmt to_owned to_string borrow borrow_mut as_ref as_mut deref
    next iter into_iter map and_then unwrap expect ok err some none drop_in_place poll spawn send sync write read
    // Of our types.
    call call_oneway call_fallible host serve_all peer cx start arguments reply reply_result reply_status done stream
    streaming bytes binary laid contract method methods descriptor client service close closed established core std
    // Keywords of all editions, and reserved ones.
    r#as r#async r#await r#break r#const r#continue r#dyn r#else r#enum r#extern r#false r#fn r#for r#gen r#if r#impl
    r#in r#let r#loop r#match r#mod r#move r#mut r#pub r#ref r#return r#static r#struct r#trait r#true r#try r#type
    r#unsafe r#use r#where r#while r#abstract r#become r#box r#do r#final r#macro r#override r#priv r#typeof r#unsized
    r#virtual r#yield union auto macro_rules raw safe dyn_ u8 str bool main rpc rpc_core tokio serde
}

arguments! {
    // What generated code names.
    one: __arguments __call __object __method __runner __o __r __s __rpc_Arguments __k __T __S0 __a0;
    two: k object method call runner o r s factory options f self_ desk;
    three: cx context peer descriptor arguments writers result status value rpc core std;
}

contracts! {
    Option Result Vec String Box Send Sync Sized Copy Clone Debug Default Drop Fn FnOnce From Into Iterator Eq Ord Hash
    Future Arc Peer Session Status Service Stub Context Incoming Runner Streaming CallOptions Bytes Serialize
    Deserialize Value Binary Single Output Arguments Screens Client Rpc r#Match
}

fn main() {}
