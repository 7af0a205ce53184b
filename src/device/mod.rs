//! What answers a port. Where nothing does, a PC's bus floats: reads give ones, writes are lost.

pub mod console;
pub mod lesson;
