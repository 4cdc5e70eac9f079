//! The engine's tests.
//!
//! - `scenario`: the language that the tables are written in
//! - `tables`: a table for every rule: `deciding`, `acting`, `people`, `telling`, `outliving`, and `verdicts` and `rates` for single readings
//! - `oracle`: the same rules written a second time, slowly and from the design alone, against random histories; what these hold is counted
//! - `properties`: what must hold whatever comes

mod oracle;
mod properties;
pub(crate) mod scenario;
mod tables;
