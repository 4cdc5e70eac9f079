//! Where the state lives: one small versioned document, in a file or in a ConfigMap.
//!
//! - `document`: what is kept, how it is read and kept small
//! - `place`: what a place must do; `file` and `config_map` are the two
//! - `look`: reading it beside a Ripcord that runs
//! - `keeper`: the task that reads and writes it, so that nobody else waits
//!
//! A place refuses to write over what somebody else has written. That refusal is the fence: who cannot journal does not act.

mod config_map;
mod document;
mod file;
mod keeper;
mod look;
mod place;

pub use config_map::ConfigMapPlace;
pub use document::{Document, Unreadable};
pub use file::{FilePlace, LockError};
pub use keeper::{Keeper, Report, Taken};
pub use look::{look_at_config_map, look_at_file};
pub use place::{Place, WriteError, name};
