//! What answers a port. Where nothing does, a PC's bus floats: reads give ones, writes are lost.

pub mod board;
pub mod console;
pub mod events;
pub mod lesson;
pub mod serial;
