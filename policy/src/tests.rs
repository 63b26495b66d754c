//! The golden matrix, the design's examples, and a second, naive reading of the rules.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;
use sss_common::Grantee;

use super::*;

const MATRIX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/matrix.txt");
const START: Timestamp = Timestamp(1_000_000);
const ACTIONS: [Action; 4] = [Action::See, Action::Checkout, Action::Checkin, Action::Own];
const RIGHTS: [Right; 3] = [Right::Checkin, Right::Checkout, Right::Both];

fn uid(name: &str) -> Uid {
    name.parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

/// What happened to one document or folder, in order.
#[derive(Clone, Debug)]
enum Event {
    Grant(Grantee, Right, u64),
    Revoke(Grantee),
}

fn to(name: &str, right: Right, seconds: u64) -> Event {
    Event::Grant(name.parse().unwrap(), right, seconds)
}

fn revoke(name: &str) -> Event {
    Event::Revoke(name.parse().unwrap())
}

/// The facts about one user, as a store gives them. `levels`: owner and history, the document first.
fn facts(user: &str, levels: &[(&str, &[Event])], below: Below) -> Facts {
    let user = uid(user);
    let mut seq = 0;
    let levels = levels.iter().map(|(owner, events)| {
        let (mut own, mut all): (Option<Grant>, Option<Grant>) = (None, None);
        for event in *events {
            seq += 1;
            match event {
                Event::Grant(grantee, right, seconds) => {
                    let grant = Grant { right: *right, until: at(*seconds), seq, revoked: false };
                    match grantee {
                        Grantee::All => all = Some(grant),
                        Grantee::User(uid) if *uid == user => own = Some(grant),
                        Grantee::User(_) => {}
                    }
                }
                Event::Revoke(grantee) => {
                    let whose = match grantee {
                        Grantee::All => &mut all,
                        Grantee::User(uid) if *uid == user => &mut own,
                        Grantee::User(_) => continue,
                    };
                    if let Some(grant) = whose {
                        grant.revoked = true;
                    }
                }
            }
        }
        Level { owner: uid(owner), own, all }
    });
    Facts { user: user.clone(), node: NodeId([1; 16]), levels: levels.collect(), below }
}

/// What `decide` says for the type of this action: until when, or why not.
fn ask(facts: &Facts, action: Action, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    match action {
        Action::See => decide(facts, See, now).map(|allowed| allowed.until()),
        Action::Checkout => decide(facts, Checkout, now).map(|allowed| allowed.until()),
        Action::Checkin => decide(facts, Checkin, now).map(|allowed| allowed.until()),
        Action::Own => decide(facts, Own, now).map(|allowed| allowed.until()),
    }
}

fn word(result: Result<Option<Timestamp>, Refusal>) -> String {
    match result {
        Ok(until) => until.map_or("yes".into(), |until| format!("yes<{}", seconds(until))),
        Err(Refusal::Hidden) => "hidden".into(),
        Err(Refusal::NoRight) => "no".into(),
        Err(Refusal::Ended(end)) => format!("ended@{}", seconds(end)),
        Err(Refusal::Only(right)) => format!("only:{right}"),
        Err(Refusal::NotOwner) => "not-owner".into(),
    }
}

fn seconds(at: Timestamp) -> u64 {
    at.since(START).as_secs()
}

/// One case: its name, and the history of the document, of the folder it lies in and of the home. `dora` created the document, `frank`
/// the folder, `lord` has the home; `gina` is who is granted something, `sam` is nobody.
fn cases() -> Vec<(String, [Vec<Event>; 3])> {
    let none = Vec::new;
    let mut cases = vec![("no grant".to_string(), [none(), none(), none()])];
    for right in RIGHTS {
        for grantee in ["gina", "ALL"] {
            let grant = || vec![to(grantee, right, 100)];
            cases.push((format!("document: {grantee} {right} 100"), [grant(), none(), none()]));
            cases.push((format!("folder: {grantee} {right} 100"), [none(), grant(), none()]));
            cases.push((format!("home: {grantee} {right} 100"), [none(), none(), grant()]));
            let revoked = vec![to(grantee, right, 100), revoke(grantee)];
            cases.push((format!("document: {grantee} {right} 100, revoked"), [revoked, none(), none()]));
        }
    }
    use Right::{Both, Checkin, Checkout};
    let mut on_document =
        |name: &str, events: Vec<Event>| cases.push((name.into(), [events, none(), none()]));
    on_document("ALL replaces gina's", vec![to("gina", Checkout, 100), to("ALL", Checkin, 50)]);
    on_document("gina's before ALL's", vec![to("ALL", Both, 100), to("gina", Checkout, 50)]);
    on_document("gina's again", vec![to("gina", Both, 100), to("gina", Checkin, 50)]);
    on_document(
        "gina's revoked, ALL's stays",
        vec![to("ALL", Checkout, 100), to("gina", Both, 100), revoke("gina")],
    );
    on_document(
        "ALL's revoked, gina's stays",
        vec![to("ALL", Both, 100), to("gina", Checkout, 100), revoke("ALL")],
    );
    on_document(
        "replaced stays replaced",
        vec![to("gina", Both, 100), to("ALL", Checkin, 50), revoke("ALL")],
    );
    let over =
        |name: &str, document: Vec<Event>, folder: Vec<Event>| (name.to_string(), [document, folder, none()]);
    cases.push(over("document before folder", vec![to("gina", Checkin, 50)], vec![to("gina", Both, 100)]));
    cases.push(over("ALL near, gina far", vec![to("ALL", Checkin, 50)], vec![to("gina", Both, 100)]));
    cases.push(over(
        "revoked near",
        vec![to("gina", Both, 50), revoke("gina")],
        vec![to("ALL", Checkout, 100)],
    ));
    cases
}

#[test]
fn the_matrix_is_golden() {
    let mut found = String::from(
        "# Who may do what. Made and checked by policy::tests; WRITE_MATRIX=1 writes it anew, and a reviewer reads the change.\n\
         # dora created the document, frank its folder, lord has the home; gina is granted something, sam is nobody.\n\
         # A case's grants start at second 0; columns: user, second, see, checkout, checkin, own, shown right, listed.\n",
    );
    for (name, histories) in cases() {
        writeln!(found, "\n{name}").unwrap();
        for user in ["dora", "frank", "lord", "gina", "sam"] {
            let is_owner = matches!(user, "dora" | "frank" | "lord");
            // An owner's row is the same at any time; one is enough to show it, after all ends.
            for now in if is_owner { vec![100] } else { vec![49, 50, 99, 100] } {
                let levels: Vec<(&str, &[Event])> =
                    ["dora", "frank", "lord"].into_iter().zip(histories.iter().map(Vec::as_slice)).collect();
                let facts = facts(user, &levels, Below::Nothing);
                write!(found, "  {user:<6}{now:<4}").unwrap();
                for action in ACTIONS {
                    write!(found, " {:<14}", word(ask(&facts, action, at(now)))).unwrap();
                }
                let shown = effective(&facts, at(now));
                let listed = if listed(&facts, at(now)) { "listed" } else { "-" };
                writeln!(found, " {:<9} {listed}", shown.as_str()).unwrap();
            }
        }
    }
    if std::env::var_os("WRITE_MATRIX").is_some() {
        std::fs::write(MATRIX, &found).unwrap();
    }
    let fixed = std::fs::read_to_string(MATRIX).unwrap();
    for (found, fixed) in found.lines().zip(fixed.lines()) {
        assert_eq!(found, fixed);
    }
    assert_eq!(found.lines().count(), fixed.lines().count());
}

fn may(events: &[Event], user: &str, action: Action, now: u64) -> bool {
    ask(&facts(user, &[("alice", events)], Below::Nothing), action, at(now)).is_ok()
}

#[test]
fn the_designs_first_example() {
    let events = [to("u1", Right::Checkout, 100), to("ALL", Right::Checkin, 50)];
    assert!(may(&events, "u1", Action::Checkin, 49));
    assert!(!may(&events, "u1", Action::Checkout, 0));
    for action in [Action::Checkin, Action::Checkout] {
        assert!(!may(&events, "u1", action, 50), "nothing after 50 s");
    }
}

#[test]
fn the_designs_second_example() {
    let events = [to("ALL", Right::Both, 100), to("u2", Right::Checkout, 50)];
    assert!(may(&events, "u2", Action::Checkout, 49));
    assert!(!may(&events, "u2", Action::Checkin, 0));
    for action in [Action::Checkin, Action::Checkout] {
        assert!(!may(&events, "u2", action, 50), "nothing after 50 s");
        assert!(may(&events, "u3", action, 99), "others have ALL's");
    }
}

#[test]
fn a_folder_is_seen_for_what_lies_below() {
    for (below, see, is_listed) in
        [(Below::Nothing, false, false), (Below::Had, true, false), (Below::Live, true, true)]
    {
        let facts = facts("gina", &[("lord", &[])], below);
        assert_eq!(decide(&facts, See, START).is_ok(), see);
        assert_eq!(listed(&facts, START), is_listed);
        let refusal = if see { Refusal::NoRight } else { Refusal::Hidden };
        assert_eq!(decide(&facts, Checkout, START), Err(refusal));
        assert_eq!(effective(&facts, START), Effective::default());
    }
}

#[test]
fn a_proof_says_what_was_asked() {
    let events = [to("gina", Right::Both, 100)];
    let facts = facts("gina", &[("lord", &events)], Below::Nothing);
    let allowed = decide(&facts, Checkin, at(1)).unwrap();
    assert_eq!((allowed.user(), allowed.node(), allowed.act()), (&uid("gina"), facts.node, Checkin));
    assert_eq!(allowed.until(), Some(at(100)));
    assert_eq!(effective(&facts, at(40)).ends_in_ms, Some(60_000));
}

#[test]
fn who_makes_something_owns_it() {
    let events = [to("gina", Right::Checkin, 100)];
    let folder = facts("gina", &[("lord", &events)], Below::Nothing);
    let made = NodeId([2; 16]);
    let own = Level { owner: folder.user.clone(), own: None, all: None };
    let levels = std::iter::once(own).chain(folder.levels.iter().cloned()).collect();
    let its_facts = Facts { node: made, levels, ..folder.clone() };
    let proof = decide(&folder, Checkin, at(1)).unwrap().made(made);
    assert_eq!(Ok(proof), decide(&its_facts, Own, at(1)));
}

/// Whether a type has a trait: where it has, the inherent constant goes before this one.
trait Otherwise {
    const IS: bool = false;
}

impl<T> Otherwise for T {}

struct Reads<T>(std::marker::PhantomData<T>);

impl<T: MayRead> Reads<T> {
    const IS: bool = true;
}

struct Writes<T>(std::marker::PhantomData<T>);

impl<T: MayWrite> Writes<T> {
    const IS: bool = true;
}

#[test]
fn a_proof_of_a_lesser_act_serves_nothing() {
    let see = (Reads::<Allowed<See>>::IS, Writes::<Allowed<See>>::IS);
    let checkout = (Reads::<Allowed<Checkout>>::IS, Writes::<Allowed<Checkout>>::IS);
    let checkin = (Reads::<Allowed<Checkin>>::IS, Writes::<Allowed<Checkin>>::IS);
    let own = (Reads::<Allowed<Own>>::IS, Writes::<Allowed<Own>>::IS);
    assert_eq!(
        [see, checkout, checkin, own],
        [(false, false), (true, false), (true, true), (true, true)],
        "(reads, writes)"
    );
    let facts = facts("lord", &[("lord", &[])], Below::Nothing);
    assert!(decide(&facts, Own, START).unwrap().proves_ownership());
    assert!(!decide(&facts, Checkin, START).unwrap().proves_ownership(), "whoever asked");
}

/// The rules as the design's sentences say them, replayed over a list of rules in force.
fn naive(user: &str, levels: &[(&str, Vec<Event>)], now: u64) -> Option<(bool, bool)> {
    if levels.iter().any(|(owner, _)| *owner == user) {
        return Some((true, true));
    }
    for (_, events) in levels {
        let mut rules: Vec<(Grantee, Right, u64)> = Vec::new();
        for event in events {
            match event {
                // "A grant to ALL replaces every earlier grant on that document or folder."
                Event::Grant(Grantee::All, right, end) => rules = vec![(Grantee::All, *right, *end)],
                // "A grant to a user replaces that user's earlier one…
                Event::Grant(grantee, right, end) => {
                    rules.retain(|(other, ..)| other != grantee);
                    rules.push((grantee.clone(), *right, *end));
                }
                Event::Revoke(grantee) => rules.retain(|(other, ..)| other != grantee),
            }
        }
        // … and goes before ALL's, also once it has run out."
        let own = rules.iter().find(|(grantee, ..)| *grantee == Grantee::User(uid(user)));
        let rule = own.or_else(|| rules.iter().find(|(grantee, ..)| *grantee == Grantee::All));
        // "The nearest level that gives the user a live right decides."
        if let Some((_, right, end)) = rule
            && now < *end
        {
            return Some((right.reads(), right.writes()));
        }
    }
    None
}

fn event() -> impl Strategy<Value = Event> {
    let grantee = || proptest::sample::select(vec!["gina", "sam", "ALL"]);
    prop_oneof![
        3 => (grantee(), proptest::sample::select(RIGHTS.to_vec()), 1..100u64).prop_map(|(g, r, s)| to(g, r, s)),
        1 => grantee().prop_map(revoke),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_readings_of_the_rules_agree(
        histories in proptest::collection::vec(
            (proptest::sample::select(vec!["dora", "frank", "gina"]), proptest::collection::vec(event(), 0..6)), 1..4),
        user in proptest::sample::select(vec!["gina", "sam", "dora"]),
        now in 0..110u64,
    ) {
        let levels: Vec<(&str, &[Event])> = histories.iter().map(|(o, e)| (*o, e.as_slice())).collect();
        let facts = facts(user, &levels, Below::Nothing);
        let (reads, writes) = naive(user, &histories, now).unwrap_or_default();
        prop_assert_eq!(decide(&facts, Checkout, at(now)).is_ok(), reads);
        prop_assert_eq!(decide(&facts, Checkin, at(now)).is_ok(), writes);
        let owns = histories.iter().any(|(owner, _)| *owner == user);
        prop_assert_eq!(decide(&facts, Own, at(now)).is_ok(), owns);
        let shown = effective(&facts, at(now));
        prop_assert_eq!((shown.owner, shown.checkout, shown.checkin), (owns, reads, writes));
        prop_assert_eq!(listed(&facts, at(now)), owns || reads || writes);
        // Hidden is who owns nothing and was never granted anything, on the way or by ALL.
        let named = |grantee: &Grantee| *grantee == Grantee::All || *grantee == Grantee::User(uid(user));
        let had = histories.iter().flat_map(|(_, e)| e).any(|e| matches!(e, Event::Grant(g, ..) if named(g)));
        prop_assert_eq!(decide(&facts, See, at(now)).is_ok(), owns || had);
        if !owns && !had {
            for action in ACTIONS {
                prop_assert_eq!(ask(&facts, action, at(now)), Err(Refusal::Hidden));
            }
        }
    }
}

#[test]
fn a_receipt_is_for_who_deleted_and_for_the_homes_owner() {
    let may = |user: &str| receipt(&uid(user), &uid("dora"), &uid("lord"));
    assert_eq!((may("dora"), may("lord")), (Ok(()), Ok(())));
    assert_eq!(may("sam"), Err(Refusal::Hidden), "as if there had been nothing");
}
