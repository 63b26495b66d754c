//! Packs: in a folder ([`LocalBlobs`]); for tests also in memory and with faults on demand.

#[cfg(any(test, feature = "twins"))]
mod faulty;
mod local;
#[cfg(any(test, feature = "twins"))]
mod memory;

#[cfg(any(test, feature = "twins"))]
pub use faulty::{FaultyBlobs, Operation};
pub use local::LocalBlobs;
#[cfg(any(test, feature = "twins"))]
pub use memory::MemoryBlobs;

#[cfg(test)]
mod tests;
