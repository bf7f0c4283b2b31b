//! From instructions to instructions without variables.

mod instructions;
mod scope;
mod script;
