//! `ripcord demo`.
use crate::cli::Demo;
use super::Failure;
/// Shows the whole story.
pub fn demo(_options: &Demo) -> Result<(), Failure> {
    Ok(())
}
