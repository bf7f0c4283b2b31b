//! The program, called as users call it, answers as documented: codes, streams, texts, JSON.
//!
//! Everything happens below temporary directories; nothing needs root or a network.

#![allow(clippy::unwrap_used)]

mod archives;
mod arguments;
mod base_image;
mod build;
mod cloud;
mod clusters;
mod documents;
mod images;
mod interrupt;
mod json;
mod logins;
mod lvscare;
mod manifest;
mod registries;
mod serve;
mod streams;
mod support;
mod text_files;
mod tools;
mod upstream;
