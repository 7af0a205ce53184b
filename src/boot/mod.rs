//! How an image gets into RAM, and in what state the vCPU starts.

pub mod flat;
pub mod mode;
