//! The model test: generated sequences of several users on several mounts, on a small reference and on the whole system.
//!
//! `step` says what may happen, `generate` makes sequences of it; `reference` is what the contract says about it, in a few hundred lines that know
//! nothing of the programs; `driver` plays it on mounts (`Fs`, called as the kernel would) of a `site`: the client's `memory`
//! twin, or the `real` server behind TLS. `compare` plays one sequence on all of them and finds the first difference: in an
//! answer, in what any user is shown in any listing, in what a lookup finds, in content, in an errno.
//!
//! Nothing waits for a time: the clock is the servers', moved by hand, and what the event stream tells a mount is told to it
//! before the next step: every mount follows the stream, and the driver waits until what was told was heard. A server that was started anew is waited for until it answers.
//!
//! What may differ, and why:
//!
//! | where | what | why |
//! |---|---|---|
//! | conflict copies | the time and number in the name; permission bits and flag | the name has the client's own clock; the copy takes what the draft knew of its document, or the folder's flag |
//! | times | compared to the millisecond | no two writes have the same nanosecond: that tells them apart |
//! | the time of what is open at an older version | not compared | the mount shows the time that it saw last |
//! | the time of a version whose check-in was in doubt, once somebody else has set it | the sequence ends where it is set | by it the mount knows its own version again |
//! | `read`, a document that this mount deleted | its bytes or ESTALE | what is here may be read on; what is not is gone |
//! | `read`, an owner's document, deleted by somebody else, or the owner logged out | its bytes or the refusal | what an owner has read is in the owner's memory; no right of anybody ended |
//! | `stat`, a document that is visible and on which no right is live | not its size | the mount shows the size that it saw while there was a right |
//! | a mount whose session is over | names that it knows are shown; anything that opens or changes fails, with whichever error comes first; a draft may take mode and time, and a link lists no attributes | `user.3s.why` must be readable there |
//! | `unmount` of such a mount | not compared | the logout of a session that is over |
//! | `disable` and `enable` | the server is started anew behind them | a running one believes a session for a second, by the machine's clock |
//! | what the event stream tells | heard by all mounts between steps | it comes within moments |
//! | the end of a grant, another user's change of attributes or of somebody else's grant, a user who is disabled | told to mounts by hand | a mount goes by the machine's clock, and believes attributes for a second; `disable` is told by the next restart |
//! | superseded versions | the server drops them at once if nobody pins them, until its first restart; then it keeps them | a restart forgets pins, and mounts take them up again only when they read |
//! | a version whose check-in was in doubt and is open, once somebody else has saved | the sequence ends where it is read or copied | whether the server holds that version is known to nobody until it is read (`Model::lost_track`) |
//! | packs without a row | looked for only where no commit failed in doubt | the sweeper deletes those after an hour |
//!
//! The reference speaks of owners as `docs/SEMANTICS.md` does: who has a home owns all in it, a guest what he made there, as long as he may.

pub mod answer;
pub mod compare;
pub mod driver;
mod events;
pub mod generate;
pub mod memory;
pub mod real;
pub mod reference;
pub mod site;
pub mod step;
mod vfs;
