//! `ripcord render`: what belongs to a configuration and is kept elsewhere.
//!
//! - `rbac`: the permissions that it needs
//! - the schema of configurations, which `config` has
//! - `grammar`: manual pages and completions, of what can be typed

mod grammar;
mod rbac;

use crate::cli::{Render, RenderTarget};
use crate::config;

use super::{Failure, load_apart, print};

/// Writes it to stdout.
pub fn render(options: &Render) -> Result<(), Failure> {
    match &options.target {
        RenderTarget::Rbac(options) => {
            // No permission depends on the files that it names.
            let settings = load_apart(&options.configured)?;
            print(&rbac::render(&settings, &options.configured.files, &options.service_account))
        }
        RenderTarget::Schema => print(&format!("{:#}\n", config::schema())),
        RenderTarget::Man(options) => grammar::man(&options.folder),
        RenderTarget::Completions(options) => grammar::completions(options.shell),
    }
}
