//! The golden matrix, the design's examples, and a second, naive reading of the rules.
#![allow(clippy::unwrap_used)]

mod naive;

use std::fmt::Write;
use std::time::Duration;

use sss_common::Grantee;

use super::*;

const MATRIX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/matrix.txt");
const START: Timestamp = Timestamp(1_000_000);
const ACTIONS: [Action; 6] =
    [Action::See, Action::Checkout, Action::Checkin, Action::Own, Action::Delete, Action::Share];
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
    /// The same, set by who made the document.
    GrantByMaker(Grantee, Right, u64),
    Revoke(Grantee),
    /// A limit that a copy took along.
    Limit(Grantee, Right, u64),
    /// What keeps a copy from somebody for ever.
    Bar(Grantee),
}

fn to(name: &str, right: Right, seconds: u64) -> Event {
    Event::Grant(name.parse().unwrap(), right, seconds)
}

fn by_maker(name: &str, right: Right, seconds: u64) -> Event {
    Event::GrantByMaker(name.parse().unwrap(), right, seconds)
}

fn limit(name: &str, right: Right, seconds: u64) -> Event {
    Event::Limit(name.parse().unwrap(), right, seconds)
}

fn bar(name: &str) -> Event {
    Event::Bar(name.parse().unwrap())
}

fn revoke(name: &str) -> Event {
    Event::Revoke(name.parse().unwrap())
}

/// The facts about one user and a document, as a store gives them. `levels`: owner and history, the document first.
fn facts(user: &str, levels: &[(&str, &[Event])], below: Below) -> Facts {
    let (user, levels) = (uid(user), history(user, levels));
    Facts { user, node: NodeId([1; 16]), levels, below, folder: false, saved: false, maker_until: None }
}

/// The same, with what the store adds about who made the document.
fn facts_at(user: &str, levels: &[(&str, &[Event])], saved: bool, now: Timestamp) -> Facts {
    let maker = levels[0].0;
    let of_maker = facts(maker, levels, Below::Nothing);
    Facts { saved, maker_until: maker_until(&of_maker, now), ..facts(user, levels, Below::Nothing) }
}

fn history(user: &str, levels: &[(&str, &[Event])]) -> Vec<Level> {
    let user = uid(user);
    let mut seq = 0;
    let levels = levels.iter().map(|(owner, events)| {
        let (mut own, mut all): (Option<Grant>, Option<Grant>) = (None, None);
        for event in *events {
            seq += 1;
            let (by_maker, effect) = match event {
                Event::GrantByMaker(..) => (true, Effect::Gives),
                Event::Limit(..) => (false, Effect::Limits),
                Event::Bar(_) => (false, Effect::Bars),
                Event::Grant(..) | Event::Revoke(_) => (false, Effect::Gives),
            };
            let mut set = |grantee: &Grantee, right, until| {
                let grant = Grant { right, until, seq, revoked: None, since: START, by_maker, effect };
                match grantee {
                    Grantee::All => all = Some(grant),
                    Grantee::User(uid) if *uid == user => own = Some(grant),
                    Grantee::User(_) => {}
                }
            };
            match event {
                Event::Grant(grantee, right, seconds)
                | Event::GrantByMaker(grantee, right, seconds)
                | Event::Limit(grantee, right, seconds) => set(grantee, *right, at(*seconds)),
                Event::Bar(grantee) => set(grantee, Right::Both, Timestamp::MAX),
                Event::Revoke(grantee) => {
                    let whose = match grantee {
                        Grantee::All => &mut all,
                        Grantee::User(uid) if *uid == user => &mut own,
                        Grantee::User(_) => continue,
                    };
                    if let Some(grant) = whose {
                        grant.revoked = Some(START);
                    }
                }
            }
        }
        Level { owner: uid(owner), own, all }
    });
    levels.collect()
}

/// What `decide` says for the type of this action: until when, or why not.
fn ask(facts: &Facts, action: Action, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    match action {
        Action::See => decide(facts, See, now).map(|allowed| allowed.until()),
        Action::Checkout => decide(facts, Checkout, now).map(|allowed| allowed.until()),
        Action::Checkin => decide(facts, Checkin, now).map(|allowed| allowed.until()),
        Action::Own => decide(facts, Own, now).map(|allowed| allowed.until()),
        Action::Delete => decide(facts, Delete, now).map(|allowed| allowed.until()),
        Action::Share => decide(facts, Share, now).map(|allowed| allowed.until()),
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

/// One case: its name, and the history of the document, of the folder it lies in and of the home. `dora` made the document and `frank`
/// the folder, both as guests, `lord` has the home; `gina` is who is granted something, `sam` is nobody.
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
    // Guests: what they make is theirs while lord lets them.
    cases.push(("document: dora checkout 100".into(), [vec![to("dora", Checkout, 100)], none(), none()]));
    cases.push(over("folder: dora checkin 100", none(), vec![to("dora", Checkin, 100)]));
    cases.push(over("folder: dora both 100, revoked", none(), vec![to("dora", Both, 100), revoke("dora")]));
    cases.push(over("folder: ALL checkin 50", none(), vec![to("ALL", Checkin, 50)]));
    cases.push(over("folder: frank both 100", none(), vec![to("frank", Both, 100)]));
    cases.push(over(
        "document: dora grants gina 100; folder: dora checkin 50",
        vec![by_maker("gina", Both, 100)],
        vec![to("dora", Checkin, 50)],
    ));
    cases.push(over(
        "document: dora grants gina 50; folder: dora checkin 100",
        vec![by_maker("gina", Both, 50)],
        vec![to("dora", Checkin, 100)],
    ));
    // Copies that 3S made.
    cases.push(over(
        "document: limits gina checkin 50; folder: gina checkout 100",
        vec![limit("gina", Checkin, 50)],
        vec![to("gina", Checkout, 100)],
    ));
    cases.push(over(
        "document: limits ALL checkout 100, gina both 50; folder: ALL both 100",
        vec![limit("ALL", Checkout, 100), limit("gina", Both, 50)],
        vec![to("ALL", Both, 100)],
    ));
    cases.push(over(
        "document: limits gina checkout 100, then gina both 50; folder: ALL both 100",
        vec![limit("gina", Checkout, 100), to("gina", Both, 50)],
        vec![to("ALL", Both, 100)],
    ));
    cases.push(over("document: barred; folder: ALL both 100", vec![bar("ALL")], vec![to("ALL", Both, 100)]));
    cases.push(("document: limits gina both 100".into(), [vec![limit("gina", Both, 100)], none(), none()]));
    cases.push(over("document: dora grants herself 100", vec![by_maker("dora", Both, 100)], none()));
    cases.push(over("document: dora grants ALL 100", vec![by_maker("ALL", Both, 100)], none()));
    cases
}

/// Who stands in the matrix, with whether the document as it is was saved by them, and when they ask.
const ASKING: [(&str, bool, &[u64]); 6] = [
    ("dora", false, &[49, 50, 99, 100, 86_500]),
    ("dora", true, &[49, 50, 99, 100, 86_500]),
    ("frank", false, &[49, 100]),
    ("lord", false, &[100]),
    ("gina", false, &[49, 50, 99, 100, 86_399, 86_499, 86_500]),
    ("sam", false, &[49, 50, 99, 100]),
];

#[test]
fn the_matrix_is_golden() {
    let mut found = String::from(
        "# Who may do what. Made and checked by policy::tests; WRITE_MATRIX=1 writes it anew, and a reviewer reads the change.\n\
         # dora made the document and frank its folder, both as guests, lord has the home; gina is granted something, sam is nobody.\n\
         # dora+ is dora where she saved the document as it is; dora where somebody else did.\n\
         # A case's grants start at second 0 and are lord's unless it says otherwise; columns: user, second, see, checkout, checkin,\n\
         # own, delete, share, shown right, listed. A right that ended at 100 has faded at 86,500; one that was revoked, at 86,400.\n",
    );
    for (name, histories) in cases() {
        writeln!(found, "\n{name}").unwrap();
        for (user, saved, times) in ASKING {
            for now in times {
                let levels: Vec<(&str, &[Event])> =
                    ["dora", "frank", "lord"].into_iter().zip(histories.iter().map(Vec::as_slice)).collect();
                let now = at(*now);
                let facts = facts_at(user, &levels, saved, now);
                let name = if saved { format!("{user}+") } else { user.to_owned() };
                write!(found, "  {name:<6}{:<6}", seconds(now)).unwrap();
                for action in ACTIONS {
                    write!(found, " {:<12}", word(ask(&facts, action, now))).unwrap();
                }
                let shown = effective(&facts, now);
                let listed = if listed(&facts, now) { "listed" } else { "-" };
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
fn who_makes_something_owns_it_as_long_as_he_may() {
    let events = [to("gina", Right::Checkin, 100)];
    let folder = facts("gina", &[("lord", &events)], Below::Nothing);
    let made = NodeId([2; 16]);
    let own = Level { owner: folder.user.clone(), own: None, all: None };
    let levels = std::iter::once(own).chain(folder.levels.iter().cloned()).collect();
    let its_facts = Facts { node: made, levels, ..folder.clone() };
    let proof = decide(&folder, Checkin, at(1)).unwrap().made(made);
    assert_eq!(proof.until(), Some(at(100)));
    assert_eq!(Ok(proof), decide(&its_facts, Own, at(1)));
    assert_eq!(decide(&its_facts, Own, at(100)), Err(Refusal::NotOwner));
}

#[test]
fn a_guests_folder_gives_him_nothing_of_what_others_put_into_it() {
    // Alice's inbox, bob's folder in it, carol's document in that.
    for until in [3, 300] {
        let inbox = [to("bob", Right::Checkin, until)];
        let levels = [("carol", [].as_slice()), ("bob", &[]), ("alice", &inbox)];
        let facts = facts_at("bob", &levels, false, at(10));
        for action in [Action::Checkout, Action::Own, Action::Delete, Action::Share] {
            assert!(ask(&facts, action, at(10)).is_err(), "{action:?} {until}");
        }
        assert_eq!(ask(&facts, Action::Checkin, at(10)).is_ok(), until == 300, "by alice's grant");
    }
}

#[test]
fn a_guest_shares_his_documents_and_not_his_folders() {
    let inbox = [to("bob", Right::Checkin, 100)];
    let document = facts("bob", &[("bob", &[]), ("alice", &inbox)], Below::Nothing);
    let folder = Facts { folder: true, ..document.clone() };
    assert_eq!(decide(&document, Share, at(1)).unwrap().until(), Some(at(100)));
    assert_eq!(decide(&folder, Share, at(1)), Err(Refusal::NotOwner));
    assert!(decide(&folder, Own, at(1)).is_ok() && decide(&folder, Delete, at(1)).is_ok());
    let homes = Facts { user: uid("alice"), ..folder };
    assert_eq!(decide(&homes, Share, at(1)).unwrap().until(), None);
}

#[test]
fn a_right_is_for_what_was_not_replaced_before_it() {
    let mut facts = facts("gina", &[("lord", &[to("gina", Right::Both, 100)])], Below::Nothing);
    let since = |facts: &Facts| decide(facts, Checkout, at(1)).unwrap().since();
    assert_eq!(since(&facts), Some(START));
    facts.levels[0].own = facts.levels[0].own.map(|grant| Grant { since: at(1), ..grant });
    assert_eq!(since(&facts), Some(at(1)), "the grant's own beginning");
    let lords = Facts { user: uid("lord"), ..facts.clone() };
    assert_eq!(since(&lords), None, "the owner's has none");
    let levels = vec![Level { owner: uid("gina"), own: None, all: None }, facts.levels[0].clone()];
    let made = Facts { levels: levels.clone(), ..facts.clone() };
    assert_eq!(since(&made), None, "nor has a maker's");
    let left = Facts { saved: true, ..made };
    let gone = decide(&left, Checkout, at(200)).unwrap();
    assert_eq!(
        (gone.since(), gone.until()),
        (Some(at(200)), None),
        "what he saved last, and nothing before it"
    );
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
    let delete = (Reads::<Allowed<Delete>>::IS, Writes::<Allowed<Delete>>::IS);
    let share = (Reads::<Allowed<Share>>::IS, Writes::<Allowed<Share>>::IS);
    let (none, reads, writes) = ((false, false), (true, false), (true, true));
    assert_eq!([see, checkout, checkin, own, delete, share], [none, reads, writes, writes, none, none]);
    let facts = facts("lord", &[("lord", &[])], Below::Nothing);
    assert!(decide(&facts, Own, START).unwrap().proves_ownership());
    assert!(!decide(&facts, Checkin, START).unwrap().proves_ownership(), "whoever asked");
}

#[test]
fn a_refusal_says_why_in_words_of_its_own() {
    let refusals = [
        Refusal::Hidden,
        Refusal::NoRight,
        Refusal::Ended(START),
        Refusal::Only(Right::Checkin),
        Refusal::NotOwner,
    ];
    let words = refusals.map(|refusal| refusal.to_string());
    for (at, text) in words.iter().enumerate() {
        assert!(!text.is_empty() && !words[..at].contains(text), "{text}");
    }
    assert!(words[2].contains(&START.to_string()) && words[3].contains("checkin"));
}

#[test]
fn a_receipt_is_for_who_deleted_and_for_the_homes_owner() {
    let may = |user: &str| receipt(&uid(user), &uid("dora"), &uid("lord"));
    assert_eq!((may("dora"), may("lord")), (Ok(()), Ok(())));
    assert_eq!(may("sam"), Err(Refusal::Hidden), "as if there had been nothing");
}
