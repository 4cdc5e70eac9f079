//! A table for every rule of the design.

mod acting;
mod deciding;
mod outliving;
mod people;
mod telling;
mod verdicts;
