//! A table for every rule of the design.

mod acting;
mod deciding;
mod telling;
mod verdicts;
