//! A second, naive reading of the rules, held against the first.

use proptest::prelude::*;

use super::*;

/// The rights that grants give, as the design's sentences say them, replayed over a list of rules in force. `counts`: whether a
/// rule by the maker counts, with the end that it has.
fn naive(
    user: &str,
    levels: &[(&str, Vec<Event>)],
    now: u64,
    counts: impl Fn(u64) -> Option<u64>,
) -> Option<(bool, bool)> {
    let (mut may_read, mut may_write) = (true, true);
    for (_, events) in levels {
        let mut rules: Vec<(Grantee, Option<Right>, Option<u64>, bool)> = Vec::new();
        for event in events {
            let (grantee, right, end, gives) = match event {
                Event::Grant(grantee, right, end) => (grantee, Some(*right), Some(*end), true),
                Event::GrantByMaker(grantee, right, end) => (grantee, Some(*right), counts(*end), true),
                Event::Limit(grantee, right, end) => (grantee, Some(*right), Some(*end), false),
                Event::Bar(grantee) => (grantee, None, Some(u64::MAX), false),
                Event::Revoke(grantee) => {
                    rules.retain(|(other, ..)| other != grantee);
                    continue;
                }
            };
            match grantee {
                // "A grant to ALL replaces every earlier grant on that document or folder."
                Grantee::All => rules = vec![(Grantee::All, right, end, gives)],
                // "A grant to a user replaces that user's earlier one…
                Grantee::User(_) => {
                    rules.retain(|(other, ..)| other != grantee);
                    rules.push((grantee.clone(), right, end, gives));
                }
            }
        }
        // … and goes before ALL's, also once it has run out."
        let own = rules.iter().find(|(grantee, ..)| *grantee == Grantee::User(uid(user)));
        let rule = own.or_else(|| rules.iter().find(|(grantee, ..)| *grantee == Grantee::All));
        // "The nearest level that gives the user a live right decides."
        if let Some((_, right, Some(end), gives)) = rule
            && now < *end
        {
            // A limit takes away, for as long as it lives, from what levels above give.
            may_read &= right.is_some_and(|right| right.reads());
            may_write &= right.is_some_and(|right| right.writes());
            if *gives {
                return (may_read || may_write).then_some((may_read, may_write));
            }
        }
    }
    None
}

/// What is left of the home's owner's grants where a maker's took the place of some.
fn of_lord(events: &[Event]) -> Vec<Event> {
    let mut left: Vec<Event> = Vec::new();
    for event in events {
        match event {
            Event::GrantByMaker(grantee, ..) => {
                left.retain(|other| !matches!(other, Event::Grant(to, ..) if to == grantee));
            }
            // What keeps others out is no matter for who made it.
            Event::Limit(..) | Event::Bar(_) => {}
            event => left.push(event.clone()),
        }
    }
    left
}

/// What a user may do with a document, by the design's words: read, write, delete, and whether he owns it.
fn naive_rights(
    user: &str,
    levels: &[(&str, Vec<Event>)],
    saved: bool,
    now: u64,
) -> (bool, bool, bool, bool) {
    let maker = levels[0].0;
    // Only what the home's owner granted keeps a maker an owner, and a maker's grants alive.
    let lords: Vec<(&str, Vec<Event>)> =
        levels.iter().map(|(owner, events)| (*owner, of_lord(events))).collect();
    let makers_right = |now| naive(maker, &lords, now, |_| None).is_some();
    // "The owner of a home has an owner's rights over everything in it."
    if levels.last().unwrap().0 == user {
        return (true, true, true, true);
    }
    if maker == user {
        // "he owns it while he has a live right on it or above it"
        if makers_right(now) {
            return (true, true, true, true);
        }
        // "he may read and delete what he himself saved last, and do nothing else with it"
        if saved {
            return (true, false, true, false);
        }
    }
    let counts = |end: u64| makers_right(now).then_some(end);
    let (reads, writes) = naive(user, levels, now, counts).unwrap_or_default();
    (reads, writes, false, false)
}

fn event() -> impl Strategy<Value = Event> {
    let grantee = || proptest::sample::select(vec!["gina", "sam", "ALL"]);
    prop_oneof![
        3 => (grantee(), proptest::sample::select(RIGHTS.to_vec()), 1..100u64).prop_map(|(g, r, s)| to(g, r, s)),
        1 => grantee().prop_map(revoke),
    ]
}

/// A document's history: the home's owner's grants, then its maker's, each in the place of an earlier one to the same grantee.
fn document_events() -> impl Strategy<Value = Vec<Event>> {
    let grantee = || proptest::sample::select(vec!["sam", "ALL"]);
    let shared = (grantee(), proptest::sample::select(RIGHTS.to_vec()), 1..100u64);
    let lords = proptest::collection::vec(event(), 0..5);
    let makers = proptest::collection::vec(shared.prop_map(|(g, r, s)| by_maker(g, r, s)), 0..2);
    (limits(), lords, makers).prop_map(|(limits, lords, makers)| [limits, lords, makers].concat())
}

/// What a copy took along, or that it is kept from everybody; mostly nothing.
fn limits() -> impl Strategy<Value = Vec<Event>> {
    let grantee = proptest::sample::select(vec!["gina", "sam"]);
    let right = || proptest::sample::select(RIGHTS.to_vec());
    let some = (right(), 1..100u64, grantee, right(), 1..100u64)
        .prop_map(|(all, end, who, own, ends)| vec![limit("ALL", all, end), limit(who, own, ends)]);
    prop_oneof![3 => Just(Vec::new()), 2 => some, 1 => Just(vec![bar("ALL")])]
}

/// Whether some grant of a level is known of: of each grantee the last counts, for a day from its end, or from second 0 where it
/// was revoked at all.
fn knows(events: &[Event], named: impl Fn(&Grantee) -> bool, now: u64) -> bool {
    const DAY: u64 = 24 * 3600;
    ["gina", "sam", "dora", "ALL"]
        .map(|name| name.parse().unwrap())
        .iter()
        .filter(|grantee| named(grantee))
        .any(|grantee| {
            let of = |event: &Event| match event {
                Event::Grant(to, _, end) | Event::GrantByMaker(to, _, end) if to == grantee => Some(*end),
                Event::Revoke(from) if from == grantee => Some(0),
                _ => None,
            };
            let granted = events.iter().any(
                |event| matches!(event, Event::Grant(to, ..) | Event::GrantByMaker(to, ..) if to == grantee),
            );
            let last = events.iter().rev().find_map(of);
            granted && last.is_some_and(|end| now < end + DAY)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_readings_of_the_rules_agree(
        document in document_events(),
        above in proptest::collection::vec(proptest::collection::vec(event(), 0..6), 1..3),
        owners in proptest::collection::vec(proptest::sample::select(vec!["dora", "frank", "gina"]), 3),
        user in proptest::sample::select(vec!["gina", "sam", "dora"]),
        saved in any::<bool>(),
        now in prop_oneof![4 => 0..110u64, 1 => 86_390..86_510u64],
    ) {
        let histories: Vec<(&str, Vec<Event>)> =
            owners.iter().copied().zip(std::iter::once(document).chain(above)).collect();
        let levels: Vec<(&str, &[Event])> = histories.iter().map(|(o, e)| (*o, e.as_slice())).collect();
        let saved = saved && owners[0] == user;
        let facts = facts_at(user, &levels, saved, at(now));
        let (reads, writes, deletes, owns) = naive_rights(user, &histories, saved, now);
        prop_assert_eq!(decide(&facts, Checkout, at(now)).is_ok(), reads);
        prop_assert_eq!(decide(&facts, Checkin, at(now)).is_ok(), writes);
        prop_assert_eq!(decide(&facts, Delete, at(now)).is_ok(), deletes);
        prop_assert_eq!(decide(&facts, Own, at(now)).is_ok(), owns);
        prop_assert_eq!(decide(&facts, Share, at(now)).is_ok(), owns);
        let shown = effective(&facts, at(now));
        prop_assert_eq!((shown.owner, shown.checkout, shown.checkin), (owns, reads, writes));
        prop_assert_eq!(listed(&facts, at(now)), owns || reads || writes);
        // Hidden is who may nothing and was never granted anything, on the way or by ALL.
        let named = |grantee: &Grantee| *grantee == Grantee::All || *grantee == Grantee::User(uid(user));
        let had = histories.iter().any(|(_, events)| knows(events, named, now));
        prop_assert_eq!(decide(&facts, See, at(now)).is_ok(), reads || writes || had);
        if !reads && !writes && !had {
            for action in ACTIONS {
                prop_assert_eq!(ask(&facts, action, at(now)), Err(Refusal::Hidden));
            }
        }
    }
}
