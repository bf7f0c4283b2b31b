//! How do cluster images leave the store for an OCI archive, and come back from one?

mod closure;
mod load;
mod save;
