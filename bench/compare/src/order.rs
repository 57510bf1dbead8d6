//! The struct of ten fields that some rows send.

use serde::{Deserialize, Serialize};

/// What a shop may send: texts, numbers, an option and a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) customer: String,
    pub(crate) email: String,
    pub(crate) currency: String,
    pub(crate) price_cents: i64,
    pub(crate) quantity: u32,
    pub(crate) paid: bool,
    pub(crate) created_ms: i64,
    pub(crate) note: Option<String>,
    pub(crate) tags: Vec<String>,
}

/// Bytes of an order in MessagePack, without the names of its fields: what a bare echo sends in its place.
pub(crate) const BYTES: usize = 118;

pub(crate) const CUSTOMER: &str = "Ada Lovelace";
pub(crate) const EMAIL: &str = "ada@analytical-engine.example";
pub(crate) const CURRENCY: &str = "GBP";
pub(crate) const PRICE_CENTS: i64 = 123_456;
pub(crate) const QUANTITY: u32 = 3;
pub(crate) const CREATED_MS: i64 = 1_764_000_000_000;
pub(crate) const NOTE: &str = "leave it at the door";
pub(crate) const TAGS: [&str; 3] = ["express", "gift", "fragile"];

impl Order {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id,
            customer: CUSTOMER.to_owned(),
            email: EMAIL.to_owned(),
            currency: CURRENCY.to_owned(),
            price_cents: PRICE_CENTS,
            quantity: QUANTITY,
            paid: true,
            created_ms: CREATED_MS,
            note: Some(NOTE.to_owned()),
            tags: TAGS.map(str::to_owned).to_vec(),
        }
    }

    /// What the server answers.
    pub(crate) fn answered(mut self) -> Self {
        self.id += 1;
        self
    }
}
