//! drave: one zero-copy pipeline from files to log stores.

pub mod config;
pub mod net;

pub mod admin;
