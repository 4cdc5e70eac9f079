//! `ripcord render`: what belongs to a configuration and is kept elsewhere.
//!
//! - `rbac`: the permissions that it needs

mod rbac;

use crate::cli::{Render, RenderTarget};
use crate::config::{self, LoadOptions};

use super::check::explain;
use super::{Failure, environment, print};

/// Writes it to stdout.
pub fn render(options: &Render) -> Result<(), Failure> {
    match &options.target {
        RenderTarget::Rbac(options) => {
            let files = &options.configured.files;
            // The files that it names (secrets, certificates) are where Ripcord runs, and no permission depends on them.
            let settings = config::load(files, environment(), LoadOptions { syntax_only: true });
            let settings = settings.map_err(|findings| Failure::BadInput(explain(files, &findings)))?;
            print(&rbac::render(&settings, files, &options.service_account))
        }
    }
}
