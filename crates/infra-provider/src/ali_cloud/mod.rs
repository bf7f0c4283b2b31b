//! How are machines got from Alibaba Cloud, and given back?

pub mod api;
