//! The ledger: what was acknowledged against what is there.

use pyo3::prelude::*;

use super::errors::invalid;
use crate::ledger::{Place, Receipt, Record, verify};

/// `holdfast.results.Record`
#[derive(FromPyObject)]
pub struct RecordBlock {
    block: Vec<u8>,
}

/// What must not be, a line each.
#[pyfunction]
pub fn verify_records(acknowledged: Vec<RecordBlock>, found: Vec<RecordBlock>) -> PyResult<Vec<String>> {
    let acknowledged = acknowledged.iter().map(|record| Record::parse(&record.block).map(Receipt::from));
    let acknowledged: Option<Vec<Receipt>> = acknowledged.collect();
    let acknowledged = acknowledged.ok_or_else(|| invalid("what was acknowledged is no record"))?;
    let found = found.iter().map(|record| Place::of(&record.block));
    Ok(verify(&acknowledged, found).iter().map(ToString::to_string).collect())
}
