#![deny(warnings)]

use std::fmt::{Debug, Display};

pub trait Other {
    fn other(&self) -> u32;
}

pub trait Lending<'a> {
    type Lent;
}

#[rpc_core::service]
pub trait Base {
    async fn first(&self) -> u32;
}

#[rpc_core::service]
pub trait Desk: Base {
    async fn second(&self) -> u32;
}

#[rpc_core::service]
pub trait Copied: Copy {
    async fn note(&self) -> u32;
}

#[rpc_core::service]
pub trait Many: Send + Sync + 'static + Clone + Debug + Other + Display + for<'a> Lending<'a, Lent = Self> {
    async fn note(&self) -> u32;
}

#[derive(Clone, Copy, Debug)]
struct Object;

impl Base for Object {
    async fn first(&self) -> u32 {
        1
    }
}

impl Desk for Object {
    async fn second(&self) -> u32 {
        2
    }
}

impl Copied for Object {
    async fn note(&self) -> u32 {
        let copy = *self;
        copy.other()
    }
}

impl Other for Object {
    fn other(&self) -> u32 {
        3
    }
}

impl Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }
}

impl Lending<'_> for Object {
    type Lent = Self;
}

impl Many for Object {
    async fn note(&self) -> u32 {
        self.clone().other()
    }
}

fn main() {
    // Both contracts have `serve`, so a call of it names the contract.
    let _ = (Base::serve(Object), Desk::serve(Object), Desk::serve(std::sync::Arc::new(Object)));
    let _ = (Copied::serve(Object), Many::serve(Object));
}
