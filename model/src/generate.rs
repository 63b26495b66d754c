//! Sequences, as they are generated and shrunk: few users, few names, short grants, so that they meet.

use proptest::prelude::*;
use proptest::sample::select;
use sss_common::{Right, XattrMode};

use crate::step::*;

fn seat() -> impl Strategy<Value = Seat> {
    // Alice's second seat only takes her session away; it need not come often.
    prop_oneof![4 => Just(Seat(0)), 1 => Just(Seat(1)), 4 => Just(Seat(2)), 2 => Just(Seat(3))]
}

fn user() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0), 3 => Just(1), 1 => Just(2)]
}

fn path() -> impl Strategy<Value = Path> {
    let name = || select(NAMES.to_vec());
    let names = prop_oneof![
        5 => name().prop_map(|one| vec![one]),
        3 => name().prop_map(|one| vec!["d", one]),
        1 => (name(), name()).prop_map(|(one, two)| vec![one, two]),
        1 => name().prop_map(|one| vec!["d", "d", one]),
    ];
    (home(), names).prop_map(|(home, names)| Path { home, names })
}

/// Mostly alice's: three users in one home meet more often than in three.
fn home() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0), 2 => Just(1), 1 => Just(2)]
}

fn path_or_home() -> impl Strategy<Value = Path> {
    prop_oneof![6 => path(), 1 => home().prop_map(|home| Path { home, names: Vec::new() })]
}

fn data() -> impl Strategy<Value = Data> {
    let length = prop_oneof![
        12 => 1usize..40,
        1 => select(vec![65_535usize, 65_536, 65_537, 70_000]),
        1 => select(vec![131_072usize, 150_000, 200_001]),
    ];
    (any::<u8>(), length).prop_map(|(seed, length)| Data { seed, length })
}

fn place() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..48, 1 => select(vec![65_530usize, 65_536, 131_000])]
}

fn mode() -> impl Strategy<Value = Mode> {
    let flags = (any::<bool>(), prop::bool::weighted(0.2));
    prop_oneof![
        3 => Just(READ),
        2 => Just(Mode { truncate: false, create: false, ..REDIRECT }),
        3 => flags.prop_map(|(create, truncate)| Mode { read: true, write: true, truncate, create }),
        2 => Just(REDIRECT),
    ]
}

fn right() -> impl Strategy<Value = Right> {
    select(vec![Right::Checkin, Right::Checkout, Right::Both, Right::Both])
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![10 => user().prop_map(To::User), 6 => Just(To::All), 1 => Just(To::Nobody)]
}

fn end() -> impl Strategy<Value = End> {
    let seconds = select(vec![5u64, 10, 60, 100, 3600]);
    prop_oneof![12 => seconds.prop_map(End::In), 2 => Just(End::Unsaid), 1 => Just(End::TooLate)]
}

fn attribute() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => select(ATTRIBUTES[..2].to_vec()), 1 => select(ATTRIBUTES.to_vec())]
}

fn value() -> impl Strategy<Value = Data> {
    let length = prop_oneof![8 => 0usize..20, 2 => Just(65_536), 1 => Just(65_537)];
    (any::<u8>(), length).prop_map(|(seed, length)| Data { seed, length })
}

fn handle() -> impl Strategy<Value = u8> {
    0u8..2
}

/// A save, or what else commits. Boxed, as what is large here: strategies lie on the stack otherwise.
fn written() -> BoxedStrategy<Step> {
    let written = prop_oneof![
        4 => (seat(), path(), data()).prop_map(|(seat, path, data)| Step::Put { seat, path, data }),
        3 => (seat(), handle()).prop_map(|(seat, handle)| Step::Close { seat, handle }),
        2 => (seat(), handle()).prop_map(|(seat, handle)| Step::Sync { seat, handle }),
        2 => (seat(), path(), path(), prop::bool::weighted(0.1))
            .prop_map(|(seat, from, to, keep)| Step::Rename { seat, from, to, keep }),
        1 => (seat(), path(), place())
            .prop_map(|(seat, path, size)| Step::Truncate { seat, path, size }),
        1 => (seat(), path_or_home(), any::<bool>())
            .prop_map(|(seat, path, integrity)| Step::Flag { seat, path, integrity }),
        1 => (seat(), path(), select(TARGETS.to_vec()))
            .prop_map(|(seat, path, target)| Step::Symlink { seat, path, target }),
    ];
    written.boxed()
}

/// What is done with a handle that is open.
fn with_handle(who: BoxedStrategy<(Seat, u8)>) -> BoxedStrategy<Step> {
    let length = select(vec![10usize, 100, 300_000]);
    let steps = prop_oneof![
        4 => (who.clone(), place(), data())
            .prop_map(|((seat, handle), at, data)| Step::Write { seat, handle, at, data }),
        1 => (who.clone(), data()).prop_map(|((seat, handle), data)| Step::Append { seat, handle, data }),
        1 => (who.clone(), place()).prop_map(|((seat, handle), size)| Step::Resize { seat, handle, size }),
        4 => (who.clone(), place(), length)
            .prop_map(|((seat, handle), at, length)| Step::Read { seat, handle, at, length }),
        2 => who.clone().prop_map(|(seat, handle)| Step::Sync { seat, handle }),
        1 => who.prop_map(|(seat, handle)| Step::Close { seat, handle }),
    ];
    steps.boxed()
}

fn open() -> BoxedStrategy<Step> {
    let open = (seat(), handle(), path(), mode());
    open.prop_map(|(seat, handle, path, mode)| Step::Open { seat, handle, path, mode }).boxed()
}

/// A program at work on one document, with what others do to the same document, and anything else, in between.
fn work() -> BoxedStrategy<Vec<Step>> {
    let begun = (seat(), handle(), path(), mode(), any::<bool>());
    let work = begun.prop_flat_map(|(seat, handle, path, mode, close)| {
        let put = (self::seat(), data());
        let (same, there) = (path.clone(), path.clone());
        let between = prop_oneof![
            6 => with_handle(Just((seat, handle)).boxed()),
            2 => put.prop_map(move |(seat, data)| Step::Put { seat, path: same.clone(), data }),
            1 => Just(Step::Maintain),
            1 => (self::seat(), Just(there), select(TIMES.to_vec()))
                .prop_map(|(seat, path, time)| Step::Touch { seat, path, time }),
            2 => step(),
        ];
        let open = Step::Open { seat, handle, path, mode };
        prop::collection::vec(between, 2..8).prop_map(move |between| {
            let closed = close.then_some(Step::Close { seat, handle });
            std::iter::once(open.clone()).chain(between).chain(closed).collect()
        })
    });
    work.boxed()
}

/// What becomes of one name: something is put there, often where others may go, and everybody does something with it.
fn life() -> BoxedStrategy<Vec<Step>> {
    let shared = prop::option::weighted(0.6, (to(), right(), any::<bool>()));
    let begun = (busy_path(), data(), select(TARGETS.to_vec()), prop::bool::weighted(0.4), shared);
    let life = begun.prop_flat_map(|(path, data, target, is_link, shared)| {
        let seat = if path.home == 0 { Seat(0) } else { Seat(2) };
        let first = match is_link {
            true => Step::Symlink { seat, path: path.clone(), target },
            false => Step::Put { seat, path: path.clone(), data },
        };
        let shared = shared.map(|(to, right, above)| {
            let above = if above { path.split().map(|(folder, _)| folder) } else { None };
            let path = above.unwrap_or_else(|| path.clone());
            Step::Grant { seat, path, to, right, end: End::In(3600) }
        });
        prop::collection::vec(happens_to(path), 3..9)
            .prop_map(move |then| std::iter::once(first.clone()).chain(shared.clone()).chain(then).collect())
    });
    life.boxed()
}

/// Where something is, or can be made, most of the time.
fn busy_path() -> impl Strategy<Value = Path> {
    let names = select(vec![vec!["a"], vec!["b"], vec!["d", "a"], vec!["d", "b"]]);
    (prop_oneof![5 => Just(0), 1 => Just(1)], names).prop_map(|(home, names)| Path { home, names })
}

/// Who has something to do with a name in alice's home.
fn guest() -> impl Strategy<Value = Seat> {
    prop_oneof![8 => Just(Seat(0)), 1 => Just(Seat(1)), 8 => Just(Seat(2)), 2 => Just(Seat(3))]
}

fn happens_to(path: Path) -> BoxedStrategy<Step> {
    let at = move || Just(path.clone());
    let link = prop_oneof![
        2 => (guest(), at()).prop_map(|(seat, path)| Step::Readlink { seat, path }),
        1 => (guest(), at(), select(TARGETS.to_vec()))
            .prop_map(|(seat, path, target)| Step::Symlink { seat, path, target }),
    ];
    let names = prop_oneof![
        2 => (guest(), at(), busy_path()).prop_map(|(seat, from, to)| Step::Rename { seat, from, to, keep: false }),
        2 => (guest(), busy_path(), at()).prop_map(|(seat, from, to)| Step::Rename { seat, from, to, keep: false }),
        1 => (guest(), at()).prop_map(|(seat, path)| Step::Unlink { seat, path }),
        1 => (guest(), at(), data()).prop_map(|(seat, path, data)| Step::Put { seat, path, data }),
    ];
    let times = prop_oneof![
        3 => (guest(), at(), select(TIMES.to_vec())).prop_map(|(seat, path, time)| Step::Touch { seat, path, time }),
        2 => (guest(), at()).prop_map(|(seat, path)| Step::Time { seat, path }),
        1 => (guest(), at(), any::<bool>())
            .prop_map(|(seat, path, integrity)| Step::Flag { seat, path, integrity }),
        1 => Just(Step::Wait(4)),
    ];
    let sharing = prop_oneof![
        2 => (guest(), at(), to(), right(), end())
            .prop_map(|(seat, path, to, right, end)| Step::Grant { seat, path, to, right, end }),
        1 => (guest(), at(), to()).prop_map(|(seat, path, to)| Step::Revoke { seat, path, to }),
        2 => (guest(), at()).prop_map(|(seat, path)| Step::Grants { seat, path }),
        2 => (guest(), handle(), at()).prop_map(|(seat, handle, path)| Step::Open { seat, handle, path, mode: READ }),
        3 => (guest(), handle()).prop_map(|(seat, handle)| Step::Read { seat, handle, at: 0, length: 100 }),
    ];
    prop_oneof![3 => link, 4 => names, 5 => attributes(at().boxed()), 4 => times, 6 => sharing].boxed()
}

fn attributes(path: BoxedStrategy<Path>) -> BoxedStrategy<Step> {
    let how = select(vec![XattrMode::Any, XattrMode::Any, XattrMode::Create, XattrMode::Replace]);
    let attributes = prop_oneof![
        4 => (guest(), path.clone(), attribute(), value(), how).prop_map(
            |(seat, path, name, data, how)| Step::SetAttribute { seat, path, name, data, how }
        ),
        2 => (guest(), path.clone(), attribute())
            .prop_map(|(seat, path, name)| Step::GetAttribute { seat, path, name }),
        1 => (guest(), path.clone(), attribute())
            .prop_map(|(seat, path, name)| Step::RemoveAttribute { seat, path, name }),
        2 => (guest(), path).prop_map(|(seat, path)| Step::Attributes { seat, path }),
    ];
    attributes.boxed()
}

fn step() -> BoxedStrategy<Step> {
    let fault = select(vec![Fault::Full, Fault::Backend, Fault::Late]);
    let files = prop_oneof![
        5 => open(),
        14 => with_handle((seat(), handle()).boxed()),
        4 => (seat(), path()).prop_map(|(seat, path)| Step::Cat { seat, path }),
    ];
    let names = prop_oneof![
        3 => (seat(), path()).prop_map(|(seat, path)| Step::Mkdir { seat, path }),
        1 => (seat(), path()).prop_map(|(seat, path)| Step::Rmdir { seat, path }),
        2 => (seat(), path()).prop_map(|(seat, path)| Step::Unlink { seat, path }),
        1 => (seat(), path()).prop_map(|(seat, path)| Step::Readlink { seat, path }),
        1 => (seat(), path_or_home()).prop_map(|(seat, path)| Step::Stat { seat, path }),
        1 => (seat(), path_or_home()).prop_map(|(seat, path)| Step::List { seat, path }),
        2 => (seat(), path_or_home(), select(TIMES.to_vec()))
            .prop_map(|(seat, path, time)| Step::Touch { seat, path, time }),
        2 => (seat(), path_or_home()).prop_map(|(seat, path)| Step::Time { seat, path }),
        1 => (seat(), path(), select(vec![0o644u32, 0o600, 0o400, 0o200]))
            .prop_map(|(seat, path, mode)| Step::Chmod { seat, path, mode }),
    ];
    let sharing = prop_oneof![
        6 => (seat(), path_or_home(), to(), right(), end())
            .prop_map(|(seat, path, to, right, end)| Step::Grant { seat, path, to, right, end }),
        2 => (seat(), path_or_home(), to()).prop_map(|(seat, path, to)| Step::Revoke { seat, path, to }),
        1 => (seat(), path_or_home()).prop_map(|(seat, path)| Step::Grants { seat, path }),
    ];
    let rest = prop_oneof![
        6 => select(vec![1u64, 4, 5, 11, 60, 100, 4000]).prop_map(Step::Wait),
        3 => seat().prop_map(Step::Mount),
        1 => seat().prop_map(Step::Unmount),
        1 => seat().prop_map(Step::Retry),
        1 => user().prop_map(Step::Disable),
        2 => user().prop_map(Step::Enable),
        1 => Just(Step::Restart),
        2 => Just(Step::Maintain),
        3 => (fault, written()).prop_map(|(fault, step)| Step::Failing(fault, Box::new(step))),
    ];
    prop_oneof![10 => written(), 12 => files.boxed(), 8 => names.boxed(), 2 => attributes(path_or_home().boxed()), 8 => sharing.boxed(),
        5 => rest.boxed()].boxed()
}

/// Something that is there, and shared, when a sequence begins.
fn beginning() -> impl Strategy<Value = Vec<Step>> {
    let owner = Seat(0);
    let put = |names: Vec<&'static str>, seed| {
        let path = Path { home: 0, names };
        Step::Put { seat: owner, path, data: Data { seed, length: 20 } }
    };
    let folder = Path { home: 0, names: vec!["d"] };
    let made = [Step::Mkdir { seat: owner, path: folder.clone() }, put(vec!["a"], 1), put(vec!["d", "a"], 2)];
    let grants = (select(vec![vec!["d"], vec!["a"], vec!["d", "a"], vec![]]), to(), right(), end());
    let shared = grants.prop_map(move |(names, to, right, end)| Step::Grant {
        seat: owner,
        path: Path { home: 0, names },
        to,
        right,
        end,
    });
    prop_oneof![
        1 => Just(Vec::new()),
        4 => prop::collection::vec(shared, 1..3)
            .prop_map(move |grants| made.iter().cloned().chain(grants).collect()),
    ]
}

/// Sequences of so many steps, or a little more. All seats but alice's second are mounted first.
pub fn sequence(length: usize) -> BoxedStrategy<Vec<Step>> {
    let mounts = [Step::Mount(Seat(0)), Step::Mount(Seat(2)), Step::Mount(Seat(3))];
    let bursts = prop_oneof![6 => step().prop_map(|step| vec![step]), 2 => work(), 1 => life()];
    // A burst has three steps on average.
    (beginning().boxed(), prop::collection::vec(bursts, 1..(length / 2).max(2)))
        .prop_map(move |(first, then)| {
            mounts.iter().cloned().chain(first).chain(then.into_iter().flatten()).collect()
        })
        .boxed()
}
