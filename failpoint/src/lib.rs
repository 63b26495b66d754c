//! Places where a test can let the process die, as a power cut would; nothing but their names in a release build.
//!
//! `SSS_FAILPOINT=erase.committed 3s-server run …` ends itself with SIGKILL when it comes to that place, `…:3` when it comes
//! there the third time. `SSS_SKIP=erasing` leaves a step out, so that a test can show that it would notice.
//! Both work in debug builds only.

/// Every place, in the order in which a check-in, a deletion and what follows come to them. The crash tests have one
/// test for each and fail when one is missing.
pub const ALL: &[&str] = &[
    "checkin.pack-durable",
    "checkin.committed",
    "remove.committed",
    "erase.begin",
    "keyring.written",
    "keyring.renamed",
    "keyring.durable",
    "erase.staged",
    "erase.committed",
    "erase.done",
    "versions.dropped",
    "trash.deleted",
    // A rotation of the server's key (`3s-server rotate-key`, and a start that finishes one).
    "rotate.keyring",
    "rotate.pair",
    "rotate.files",
    "rotate.committed",
    "rotate.retired",
    "rotate.public",
    "rotate.private",
    "rotate.forgotten",
    "rotate.done",
    // `3s-server user remove`.
    "user-remove.shut",
    "user-remove.emptied",
    "user-remove.removed",
];

/// Steps that can be left out.
pub const STEPS: &[&str] = &["erasing", "overwriting"];

/// Here a test may let the process die.
#[cfg(debug_assertions)]
pub fn at(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static CHOSEN: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
    assert!(ALL.contains(&name), "the failpoint {name} is not in the list");
    WATCHER.with_borrow_mut(|watcher| watcher.iter_mut().for_each(|watch| watch(name)));
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("SSS_FAILPOINT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        let times = times.parse().ok().filter(|_| ALL.contains(&name));
        let times = times.unwrap_or_else(|| panic!("SSS_FAILPOINT={text} names no failpoint"));
        Some((name.to_owned(), AtomicU32::new(times)))
    });
    let Some((chosen, left)) = chosen else { return };
    if chosen == name && left.fetch_sub(1, Ordering::Relaxed) == 1 {
        eprintln!("failpoint {name}: the process ends here");
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}

/// What a unit test does at each place.
#[cfg(debug_assertions)]
pub type Watcher = Box<dyn FnMut(&str)>;

#[cfg(debug_assertions)]
thread_local! {
    /// Is told of each place that this thread comes to: what a unit test has instead of dying.
    pub static WATCHER: std::cell::RefCell<Option<Watcher>> = const { std::cell::RefCell::new(None) };
}

/// Here a test may let the process die.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn at(_: &str) {}

/// Whether a test wants this step left out.
#[cfg(debug_assertions)]
pub fn is_skipped(step: &str) -> bool {
    assert!(STEPS.contains(&step), "the step {step} is not in the list");
    std::env::var("SSS_SKIP").is_ok_and(|skipped| skipped == step)
}

/// Whether a test wants this step left out.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn is_skipped(_: &str) -> bool {
    false
}
