//! drave: one zero-copy pipeline from files to log stores.

pub mod config;
pub mod record;
pub mod state;
pub mod net;
pub mod parse;
pub mod input;
pub mod filter;
pub mod output;
pub mod admin;
pub mod agent;
pub mod cli;
