//! wip

pub mod journal;
