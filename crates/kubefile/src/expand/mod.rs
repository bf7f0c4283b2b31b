//! Turns instructions into instructions without variables.

mod instructions;
mod scope;
mod script;
