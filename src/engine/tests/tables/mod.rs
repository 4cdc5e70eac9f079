//! A table for every rule of the design.

mod acting;
mod deciding;
mod outliving;
mod people;
mod rates;
mod readiness;
mod recorded;
mod shifting;
mod telling;
mod verdicts;
