#![allow(missing_docs, clippy::unwrap_used)]
//! Sequences that were worth a test of their own: what the generated ones found once, and what they meet too seldom.

use sss_common::{Right, XattrMode};
use sss_model::compare::{On, compare};
use sss_model::step::*;

const ALICE: Seat = Seat(0);
const LAPTOP: Seat = Seat(1);
const BOB: Seat = Seat(2);
const RW: Mode = Mode { read: true, write: true, truncate: false, create: true };

/// `@alice/d/a`
fn path(text: &str) -> Path {
    let mut names = text.split('/');
    let home = names
        .next()
        .and_then(|home| USERS.iter().position(|uid| home.strip_prefix('@') == Some(uid)))
        .unwrap();
    let names = names.map(|name| *NAMES.iter().find(|known| **known == name).unwrap()).collect();
    Path { home, names }
}

fn data(seed: u8, length: usize) -> Data {
    Data { seed, length }
}

fn put(seat: Seat, at: &str, seed: u8) -> Step {
    Step::Put { seat, path: path(at), data: data(seed, 20) }
}

fn mkdir(seat: Seat, at: &str) -> Step {
    Step::Mkdir { seat, path: path(at) }
}

fn grant(at: &str, to: usize, right: Right, seconds: u64) -> Step {
    Step::Grant { seat: ALICE, path: path(at), to: To::User(to), right, end: End::In(seconds) }
}

fn revoke(at: &str, to: usize) -> Step {
    Step::Revoke { seat: ALICE, path: path(at), to: To::User(to) }
}

fn open(seat: Seat, at: &str, mode: Mode) -> Step {
    Step::Open { seat, handle: 0, path: path(at), mode }
}

fn write(seat: Seat, at: usize, seed: u8) -> Step {
    Step::Write { seat, handle: 0, at, data: data(seed, 10) }
}

fn read(seat: Seat) -> Step {
    Step::Read { seat, handle: 0, at: 0, length: 100 }
}

fn sync(seat: Seat) -> Step {
    Step::Sync { seat, handle: 0 }
}

fn close(seat: Seat) -> Step {
    Step::Close { seat, handle: 0 }
}

fn mv(seat: Seat, from: &str, to: &str) -> Step {
    Step::Rename { seat, from: path(from), to: path(to), keep: false }
}

fn ln(seat: Seat, at: &str, target: &'static str) -> Step {
    Step::Symlink { seat, path: path(at), target }
}

fn readlink(seat: Seat, at: &str) -> Step {
    Step::Readlink { seat, path: path(at) }
}

fn set(seat: Seat, at: &str, name: usize, length: usize) -> Step {
    let how = XattrMode::Any;
    Step::SetAttribute { seat, path: path(at), name: ATTRIBUTES[name], data: data(7, length), how }
}

fn get(seat: Seat, at: &str, name: usize) -> Step {
    Step::GetAttribute { seat, path: path(at), name: ATTRIBUTES[name] }
}

fn attributes(seat: Seat, at: &str) -> Step {
    Step::Attributes { seat, path: path(at) }
}

fn touch(seat: Seat, at: &str, time: usize) -> Step {
    Step::Touch { seat, path: path(at), time: TIMES[time] }
}

fn time(seat: Seat, at: &str) -> Step {
    Step::Time { seat, path: path(at) }
}

fn grants(seat: Seat, at: &str) -> Step {
    Step::Grants { seat, path: path(at) }
}

fn failing(fault: Fault, step: Step) -> Step {
    Step::Failing(fault, Box::new(step))
}

/// With alice's and bob's mounts, and `@alice/d` shared with bob.
async fn agree(steps: Vec<Step>) {
    let before = [
        Step::Mount(ALICE),
        Step::Mount(BOB),
        mkdir(ALICE, "@alice/d"),
        grant("@alice/d", 1, Right::Both, 3600),
    ];
    let steps: Vec<Step> = before.into_iter().chain(steps).collect();
    if let Err(difference) = compare(&steps, &On::BOTH).await {
        panic!("{difference}");
    }
}

macro_rules! cases {
    ($($(#[$about:meta])* $name:ident: [$($step:expr),* $(,)?];)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$about])*
        async fn $name() {
            agree(vec![$($step),*]).await;
        })*
    };
}

cases! {
    /// The version that a lost answer made is the draft's own, also when the program has written on since.
    written_on_after_a_lost_answer: [
        open(ALICE, "@alice/a", RW),
        write(ALICE, 0, 1),
        sync(ALICE),
        write(ALICE, 5, 2),
        failing(Fault::Late, sync(ALICE)),
        write(ALICE, 30, 3),
        close(ALICE),
    ];
    /// An owner who is none any more reads nothing more: the document left the folder that was his.
    moved_out_of_an_owners_folder: [
        grant("@alice", 1, Right::Both, 3600),
        mkdir(BOB, "@alice/d/d"),
        put(ALICE, "@alice/d/d/a", 1),
        open(BOB, "@alice/d/d/a", READ),
        read(BOB),
        revoke("@alice", 1),
        revoke("@alice/d", 1),
        mv(ALICE, "@alice/d/d/a", "@alice/b"),
        read(BOB),
        close(BOB),
    ];
    /// Who had a document open keeps its version, also when the own mount renames another over it.
    what_is_open_outlives_a_rename_over_it: [
        put(ALICE, "@alice/a", 1),
        put(ALICE, "@alice/b", 2),
        open(ALICE, "@alice/a", READ),
        mv(ALICE, "@alice/b", "@alice/a"),
        Step::Maintain,
        read(ALICE),
        close(ALICE),
    ];
    /// Who made a document and has it open keeps what he saved, whoever saves after him.
    a_version_is_held_for_who_made_its_document: [
        open(BOB, "@alice/d/a", RW),
        write(BOB, 0, 1),
        sync(BOB),
        put(ALICE, "@alice/d/a", 2),
        Step::Maintain,
        read(BOB),
        write(BOB, 3, 3),
        close(BOB),
        Step::List { seat: ALICE, path: path("@alice/d") },
        Step::Unmount(BOB),
    ];
    /// A `close` behind a refused `fsync` is refused too, also of a document that the handle made.
    a_close_after_a_refused_fsync_says_so: [
        open(BOB, "@alice/d/a", REDIRECT),
        put(ALICE, "@alice/d/a", 1),
        write(BOB, 0, 2),
        sync(BOB),
        close(BOB),
    ];
    /// A link is made whole or not at all; where the answer was lost it is there.
    a_link_that_cannot_be_stored_is_not_there: [
        failing(Fault::Full, ln(BOB, "@alice/d/a", "a")),
        readlink(BOB, "@alice/d/a"),
        failing(Fault::Late, ln(BOB, "@alice/d/a", "d/a")),
        readlink(ALICE, "@alice/d/a"),
    ];
    /// A link replaces and is replaced; only documents are checked into, and only theirs are the editors' names.
    links_and_documents_replace_each_other: [
        put(ALICE, "@alice/a", 1),
        put(ALICE, "@alice/b", 2),
        ln(ALICE, "@alice/d/b", "a"),
        mv(ALICE, "@alice/a", "@alice/d/b"),
        ln(ALICE, "@alice/a", "d/a"),
        mv(ALICE, "@alice/a", "@alice/b"),
        mv(BOB, "@alice/d/b", "@alice/d/a"),
        ln(BOB, "@alice/d/a", "a"),
        mv(BOB, "@alice/d/a", "@alice/d/a~"),
        put(BOB, "@alice/d/a", 3),
        ln(BOB, "@alice/d/a", "a"),
        readlink(ALICE, "@alice/d/a~"),
        readlink(BOB, "@alice/d/a"),
        open(BOB, "@alice/d/a~", RW),
        Step::Unlink { seat: BOB, path: path("@alice/d/a~") },
    ];
    /// What is created in a folder gets its flag, links too.
    a_link_has_its_folders_flag: [
        Step::Flag { seat: ALICE, path: path("@alice/d"), integrity: true },
        ln(BOB, "@alice/d/a", "a"),
        readlink(ALICE, "@alice/d/a"),
    ];
    /// A name that was vacated is free for who asks for a free one: nothing is put back there.
    a_rename_that_replaces_nothing_puts_nothing_back: [
        put(ALICE, "@alice/a", 1),
        put(ALICE, "@alice/b", 2),
        mv(ALICE, "@alice/a", "@alice/a~"),
        Step::Rename { seat: ALICE, from: path("@alice/b"), to: path("@alice/a"), keep: true },
    ];
    /// 256 KiB together, names included.
    attributes_have_their_limits: [
        put(ALICE, "@alice/d/a", 1),
        set(BOB, "@alice/d/a", 0, 65_537),
        set(BOB, "@alice/d/a", 0, 65_536),
        set(BOB, "@alice/d/a", 1, 65_536),
        set(BOB, "@alice/d/a", 2, 65_536),
        set(BOB, "@alice/d/a", 3, 65_536),
        set(BOB, "@alice/d/a", 3, 65_536 - 24),
        set(BOB, "@alice/d/a", 4, 0),
        attributes(ALICE, "@alice/d/a"),
    ];
    /// A link lists none: the kernel would not give their values out.
    a_link_lists_no_attributes: [
        ln(ALICE, "@alice/d/a", "a"),
        set(ALICE, "@alice/d/a", 0, 1),
        attributes(ALICE, "@alice/d/a"),
        attributes(BOB, "@alice/d/a"),
    ];
    /// Attributes are the document's under its name: a save by a rename keeps them, and a backup has none.
    attributes_stay_with_their_document: [
        put(ALICE, "@alice/d/a", 1),
        put(ALICE, "@alice/d/b", 2),
        set(BOB, "@alice/d/a", 0, 3),
        set(ALICE, "@alice/d/b", 1, 4),
        put(BOB, "@alice/d/a", 3),
        mv(ALICE, "@alice/d/b", "@alice/d/a"),
        attributes(BOB, "@alice/d/a"),
        mv(ALICE, "@alice/d/a", "@alice/d/a~"),
        attributes(BOB, "@alice/d/a~"),
        put(ALICE, "@alice/d/a", 4),
        attributes(BOB, "@alice/d/a"),
        attributes(ALICE, "@alice/d/a~"),
        mv(ALICE, "@alice/d/a", "@alice/b"),
        get(ALICE, "@alice/b", 0),
    ];
    /// What is renamed over a document brings its attributes along, in place of those that were there.
    attributes_come_along_with_a_rename: [
        put(ALICE, "@alice/d/a", 1),
        put(ALICE, "@alice/d/b", 2),
        set(BOB, "@alice/d/a", 0, 3),
        set(ALICE, "@alice/d/a", 1, 4),
        set(ALICE, "@alice/d/b", 1, 5),
        set(ALICE, "@alice/d/b", 2, 6),
        mv(ALICE, "@alice/d/b", "@alice/d/a"),
        attributes(ALICE, "@alice/d/a"),
        attributes(BOB, "@alice/d/a"),
        get(BOB, "@alice/d/a", 0),
        get(BOB, "@alice/d/a", 1),
    ];
    /// A document's time is that of its last write, or the one that it was told; it goes with the content.
    times_go_with_the_content: [
        put(ALICE, "@alice/d/a", 1),
        put(ALICE, "@alice/d/b", 2),
        Step::Wait(5),
        put(BOB, "@alice/d/a", 3),
        time(ALICE, "@alice/d/a"),
        touch(BOB, "@alice/d/b", 0),
        mv(ALICE, "@alice/d/b", "@alice/d/a"),
        time(BOB, "@alice/d/a"),
        Step::Wait(5),
        open(BOB, "@alice/d/a", RW),
        write(BOB, 0, 4),
        time(BOB, "@alice/d/a"),
        touch(BOB, "@alice/d/a", 2),
        time(ALICE, "@alice/d/a"),
        Step::Wait(5),
        close(BOB),
        time(ALICE, "@alice/d/a"),
        Step::Flag { seat: ALICE, path: path("@alice/d/a"), integrity: true },
        time(BOB, "@alice/d/a"),
    ];
    /// A folder changes with its entries, and with those that come and go by a save.
    a_folders_time_is_that_of_its_entries: [
        Step::Wait(1),
        put(BOB, "@alice/d/a", 1),
        time(ALICE, "@alice/d"),
        Step::Wait(1),
        put(BOB, "@alice/d/a", 2),
        time(ALICE, "@alice/d"),
        mv(ALICE, "@alice/d/a", "@alice/d/a~"),
        Step::Wait(1),
        put(ALICE, "@alice/d/a", 3),
        time(BOB, "@alice/d"),
        Step::Wait(1),
        put(ALICE, "@alice/b", 3),
        Step::Wait(1),
        mv(ALICE, "@alice/d/a", "@alice/b"),
        time(BOB, "@alice/d"),
        Step::Wait(1),
        Step::Unlink { seat: ALICE, path: path("@alice/d/a~") },
        time(BOB, "@alice/d"),
        touch(BOB, "@alice/d", 1),
        time(ALICE, "@alice/d"),
    ];
    /// A new flag is the own mount's own version, also where somebody else has set the time since it was opened.
    a_flag_on_what_somebody_else_has_touched: [
        put(ALICE, "@alice/d/a", 1),
        open(ALICE, "@alice/d/a", RW),
        touch(BOB, "@alice/d/a", 0),
        Step::Flag { seat: ALICE, path: path("@alice/d/a"), integrity: true },
        write(ALICE, 0, 2),
        close(ALICE),
    ];
    /// A backup that has the size and time of an older version is not that version.
    a_backup_of_the_same_size_and_time: [
        put(ALICE, "@alice/d/a", 1),
        touch(ALICE, "@alice/d/a", 0),
        open(ALICE, "@alice/d/a", READ),
        mv(ALICE, "@alice/d/a", "@alice/d/a~"),
        put(BOB, "@alice/d/a~", 2),
        touch(BOB, "@alice/d/a~", 0),
        put(ALICE, "@alice/d/a", 3),
        read(ALICE),
        close(ALICE),
    ];
    /// Whose right ends because a folder's grant does not reach the document any more hears of it.
    what_leaves_a_shared_folder_is_read_no_more: [
        put(ALICE, "@alice/d/a", 1),
        open(BOB, "@alice/d/a", READ),
        read(BOB),
        mv(ALICE, "@alice/d/a", "@alice/b"),
        read(BOB),
        close(BOB),
    ];
    /// Whose document was checked into another one, by a rename, hears that it is gone.
    what_was_renamed_over_another_is_read_no_more: [
        put(ALICE, "@alice/a", 1),
        put(ALICE, "@alice/d/b", 2),
        open(BOB, "@alice/d/b", READ),
        read(BOB),
        mv(ALICE, "@alice/d/b", "@alice/a"),
        read(BOB),
        close(BOB),
    ];
    /// What a mount believes for a second is not believed once something else was told.
    grants_are_seen_at_once: [
        put(ALICE, "@alice/d/a", 1),
        grants(BOB, "@alice/d/a"),
        grant("@alice/d/a", 1, Right::Checkout, 60),
        grants(BOB, "@alice/d/a"),
        Step::Grant { seat: ALICE, path: path("@alice/d/a"), to: To::All, right: Right::Both, end: End::In(9) },
        grants(BOB, "@alice/d/a"),
        Step::Revoke { seat: ALICE, path: path("@alice/d/a"), to: To::All },
        grants(BOB, "@alice/d/a"),
    ];
    /// What is open is read no more once its grant was taken back, its document deleted, or its session replaced.
    what_is_open_hears_of_its_end: [
        put(ALICE, "@alice/d/a", 1),
        put(ALICE, "@alice/a", 2),
        open(BOB, "@alice/d/a", READ),
        read(BOB),
        grant("@alice/d/a", 1, Right::Checkin, 60),
        read(BOB),
        revoke("@alice/d/a", 1),
        read(BOB),
        Step::Unlink { seat: ALICE, path: path("@alice/d/a") },
        read(BOB),
        open(ALICE, "@alice/a", READ),
        read(ALICE),
        Step::Mount(LAPTOP),
        read(ALICE),
    ];
    /// A mount whose session is over stays silent, whatever becomes of the server.
    a_session_that_is_over_hears_nothing_of_a_restart: [
        put(ALICE, "@alice/d/a", 1),
        open(ALICE, "@alice/d/a", READ),
        Step::Mount(LAPTOP),
        Step::Restart,
        read(ALICE),
        read(BOB),
        put(LAPTOP, "@alice/d/a", 2),
    ];
    /// Attributes that a mount remembers go with the right to them.
    attributes_are_hidden_once_the_right_is_gone: [
        put(ALICE, "@alice/d/a", 1),
        set(ALICE, "@alice/d/a", 0, 9),
        get(BOB, "@alice/d/a", 0),
        revoke("@alice/d", 1),
        get(BOB, "@alice/d/a", 0),
        attributes(BOB, "@alice/d/a"),
    ];
    /// Also where it was made longer without a write, and where another handle was refused.
    a_close_after_a_refused_save_says_so: [
        open(BOB, "@alice/d/a", REDIRECT),
        Step::Resize { seat: BOB, handle: 0, size: 1 },
        put(ALICE, "@alice/d/a", 1),
        sync(BOB),
        close(BOB),
        open(BOB, "@alice/d/b", REDIRECT),
        Step::Open { seat: BOB, handle: 1, path: path("@alice/d/b"), mode: RW },
        Step::Write { seat: BOB, handle: 1, at: 0, data: data(2, 10) },
        put(ALICE, "@alice/d/b", 1),
        Step::Close { seat: BOB, handle: 1 },
        close(BOB),
    ];
    a_draft_of_a_closed_file_is_tried_again: [
        put(ALICE, "@alice/a", 1),
        open(ALICE, "@alice/a", RW),
        write(ALICE, 0, 2),
        failing(Fault::Full, sync(ALICE)),
        failing(Fault::Backend, close(ALICE)),
        Step::Cat { seat: ALICE, path: path("@alice/a") },
        Step::Retry(ALICE),
    ];
    a_refused_draft_becomes_a_copy_also_at_the_second_try: [
        put(ALICE, "@alice/d/a", 1),
        open(BOB, "@alice/d/a", RW),
        write(BOB, 3, 2),
        put(ALICE, "@alice/d/a", 3),
        failing(Fault::Backend, sync(BOB)),
        read(BOB),
        sync(BOB),
        close(BOB),
    ];
    a_name_that_was_vacated_by_who_owns_it_no_longer: [
        put(BOB, "@alice/d/a", 1),
        mv(BOB, "@alice/d/a", "@alice/d/a~"),
        revoke("@alice/d", 1),
        grant("@alice/d", 1, Right::Both, 100),
        put(BOB, "@alice/d/a", 2),
        Step::Restart,
        mv(BOB, "@alice/d/a", "@alice/d/a~"),
    ];
    a_session_that_is_taken_away_keeps_its_draft_to_itself: [
        open(ALICE, "@alice/a", RW),
        write(ALICE, 0, 1),
        Step::Mount(LAPTOP),
        close(ALICE),
        Step::List { seat: LAPTOP, path: path("@alice") },
        Step::Mount(ALICE),
        Step::List { seat: ALICE, path: path("@alice") },
    ];
    a_document_is_written_from_two_sides: [
        Step::Put { seat: ALICE, path: path("@alice/d/a"), data: data(1, 200_001) },
        open(BOB, "@alice/d/a", RW),
        Step::Write { seat: BOB, handle: 0, at: 131_000, data: data(2, 1000) },
        Step::Truncate { seat: ALICE, path: path("@alice/d/a"), size: 70_000 },
        Step::Maintain,
        read(BOB),
        close(BOB),
    ];
}
