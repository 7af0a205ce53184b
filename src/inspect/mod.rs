//! What is shown of a run. An instrument is an observer of calls or of exits; a report is a text.

pub mod death;
pub mod dirty_log;
pub mod findings;
pub mod guest_view;
pub mod handling_times;
pub mod kvm_figures;
pub mod live;
pub mod observer;
pub mod ram_map;
pub mod registers;
pub mod replay;
pub mod statistics;
pub mod stepper;
pub mod timeline;
pub mod trace;
