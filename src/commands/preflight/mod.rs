//! `ripcord preflight`.
use crate::cli::Preflight;

use super::Failure;

/// Checks.
pub fn preflight(_options: &Preflight) -> Result<(), Failure> {
    Err(Failure::BadInput("not yet".to_owned()))
}
