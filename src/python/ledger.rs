//! The ledger: what was acknowledged against what is there.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::ledger::{Place, Receipt, Record, verify};

/// `holdfast.results.Record`
#[derive(FromPyObject)]
pub struct Told {
    block: Vec<u8>,
}

/// What must not be, a line each.
#[pyfunction]
pub fn verify_records(acknowledged: Vec<Told>, found: Vec<Told>) -> PyResult<Vec<String>> {
    let acknowledged = acknowledged.iter().map(|told| Record::parse(&told.block).map(Receipt::from));
    let acknowledged: Option<Vec<Receipt>> = acknowledged.collect();
    let acknowledged = acknowledged.ok_or_else(|| PyValueError::new_err("what was acknowledged is no record"))?;
    let found = found.iter().map(|told| Place::of(&told.block));
    Ok(verify(&acknowledged, found).iter().map(ToString::to_string).collect())
}
