//! Packs: in a folder ([`LocalBlobs`]), in memory ([`MemoryBlobs`]), and with faults on demand ([`FaultyBlobs`]).

mod faulty;
mod local;
mod memory;

pub use faulty::{FaultyBlobs, Operation};
pub use local::LocalBlobs;
pub use memory::MemoryBlobs;

#[cfg(test)]
mod tests;
