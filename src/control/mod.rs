//! What drives a running machine from outside.

pub mod gdb;
