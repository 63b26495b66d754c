//! A mount's process keeps its memory to itself: keys, the session, documents.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From here on a crash leaves no core file, and no other process of the same user reads this one's memory or attaches a debugger
/// to it (root can). A system that refuses this is told of, and the mount goes on.
pub fn keep_memory_private() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    // Also where `core_pattern` is a program, which gets a core whatever the limit says.
    let closed = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(closed) {
        tracing::warn!(%error, "a crash of this process may leave its keys in a core file");
    }
}
