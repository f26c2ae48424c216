//! drave: one zero-copy pipeline from files to log stores.

pub mod cli;
pub mod agent;
pub mod admin;
pub mod input;
pub mod filter;
pub mod output;
pub mod parse;
pub mod net;
pub mod state;
pub mod record;
pub mod config;
