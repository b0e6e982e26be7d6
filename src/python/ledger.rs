//! The ledger: what was acknowledged against what is there.

use pyo3::prelude::*;

use crate::ledger::{Reading, Record, Remainder, verify};

/// `holdfast.results.Record`
#[derive(FromPyObject)]
pub struct Told {
    number: u64,
    writer: String,
    payload: Vec<u8>,
    hash: String,
}

impl From<Told> for Record {
    fn from(told: Told) -> Self {
        let Told { number, writer, payload, hash } = told;
        Self { number, writer, payload, hash }
    }
}

/// What must not be, a line each.
#[pyfunction]
pub fn verify_records(acknowledged: Vec<Told>, found: Vec<Told>) -> Vec<String> {
    let acknowledged: Vec<Record> = acknowledged.into_iter().map(Record::from).collect();
    let records = found.into_iter().map(Record::from).collect();
    let found = Reading { records, remainder: Remainder::Nothing, length: 0 };
    verify(&acknowledged, &found).iter().map(ToString::to_string).collect()
}
