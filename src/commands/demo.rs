//! `ripcord demo`.
use super::Failure;
use crate::cli::Demo;
/// Shows the whole story.
pub fn demo(_options: &Demo) -> Result<(), Failure> {
    Ok(())
}
