//! A shell: see the library.
fn main() {}
