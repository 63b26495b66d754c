#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

/// Released words, in the order of the enum: one that changes here changes what is in people's databases and scripts.
const WORDS: &str = "login logout open checkout checkin checkin-by-rename own create rename restore-name delete grant revoke \
    flag receipt integrity scrub rotate-key user-add user-disable user-enable user-rekey user-remove user-transfer clock-reset begin prune gap";

fn row(action: AuditAction) -> AuditRow {
    AuditRow {
        time: Timestamp(1_795_359_845_123),
        user: Some("alice".parse().unwrap()),
        machine: Some("client1".parse().unwrap()),
        action,
        document: Some(NodeId([7; 16])),
        path: "@alice/r\u{e9}port".into(),
        outcome: AuditOutcome::Allowed("version 3".into()),
        request_id: "r1".into(),
    }
}

fn chain() -> Vec<AuditEntry> {
    let rows = [AuditRow::begin(Timestamp(0), 0)].into_iter();
    let actions = [AuditAction::Checkin, AuditAction::Grant, AuditAction::Delete, AuditAction::Open];
    let mut chain: Vec<AuditEntry> = Vec::new();
    for row in rows.chain(actions.map(row)) {
        let last = chain.last().map_or(AuditHead::NONE, AuditEntry::head);
        chain.push(AuditEntry::link(&row, last.seq.next(), last.hash));
    }
    chain
}

fn check(rows: &[AuditEntry], given: u64, remembered: Option<AuditHead>) -> Result<Chained, ChainBreak> {
    let mut check = ChainCheck::new(AuditHead::NONE, remembered);
    rows.iter().try_for_each(|row| check.next(row))?;
    check.end(AuditSeq(given))
}

#[test]
fn words_are_stable_and_read_back() {
    let words: Vec<_> = AuditAction::ALL.iter().map(|action| action.word()).collect();
    assert_eq!(words.join(" "), WORDS);
    assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    for action in AuditAction::ALL {
        assert_eq!(action.word().parse(), Ok(*action));
    }
    assert!("rotate_key".parse::<AuditAction>().unwrap_err().contains("rotate-key"));
}

/// Computed apart, with Python's hashlib, from the description in the head of `chain`.
#[test]
fn the_hash_is_of_the_documented_bytes() {
    let entry = AuditEntry::link(&row(AuditAction::Checkin), AuditSeq(2), AuditHash([9; 32]));
    assert_eq!(entry.hash.to_string(), "a0d86ec45e82b1954d15c956203b08e797694dbbd69ebb2e6e391bbfe5e8d116");
    let bare = AuditRow::administrative(Timestamp(-1), AuditAction::RotateKey, "");
    let entry = AuditEntry::link(&bare, AuditSeq(3), AuditHash([0; 32]));
    assert_eq!(entry.hash.to_string(), "be0b628d5d7af63a69223959235716e01e3dd67dfc6ff3045b4830fbe2aef99a");
}

#[test]
fn a_whole_chain_holds() {
    let rows = chain();
    let head = rows[4].head();
    let whole = Chained { rows: 5, start: AuditHead::NONE, head, remembered: false };
    assert_eq!(check(&rows, 5, None), Ok(whole));
    for row in &rows {
        assert_eq!(check(&rows, 5, Some(row.head())), Ok(Chained { remembered: true, ..whole }));
    }
}

#[test]
fn any_changed_field_shows() {
    type Change = fn(&mut AuditEntry);
    let changes: [Change; 11] = [
        |row| row.time.0 += 1,
        |row| row.user = Some("bob".into()),
        |row| row.user = None,
        |row| row.machine = Some(String::new()),
        |row| row.action = "open".into(),
        |row| row.document = None,
        |row| row.path.push('x'),
        |row| row.outcome = "refused".into(),
        |row| row.detail.clear(),
        |row| row.request_id = "r2".into(),
        |row| row.hash.0[31] ^= 1,
    ];
    for at in 1..4 {
        for (number, change) in changes.iter().enumerate() {
            let mut rows = chain();
            change(&mut rows[at]);
            assert_eq!(
                check(&rows, 5, None),
                Err(ChainBreak::Changed(AuditSeq(at as u64 + 1))),
                "change {number}"
            );
        }
    }
    // Bytes that move from one field to the next are another row.
    let mut rows = chain();
    rows[1].path.push_str("allowed");
    rows[1].outcome.clear();
    assert_eq!(check(&rows, 5, None), Err(ChainBreak::Changed(AuditSeq(2))));
}

#[test]
fn what_is_taken_out_exchanged_or_put_in_shows() {
    let rows = chain();
    assert_eq!(check(&rows[1..], 5, None), Err(ChainBreak::CutAtStart(AuditSeq(2))));
    assert_eq!(
        check(&rows[..3], 5, None),
        Err(ChainBreak::CutAtEnd { last: AuditSeq(3), given: AuditSeq(5) })
    );
    assert_eq!(check(&[], 0, None), Err(ChainBreak::CutAtEnd { last: AuditSeq(0), given: AuditSeq(0) }));
    let without = [&rows[..2], &rows[3..]].concat();
    assert_eq!(check(&without, 5, None), Err(ChainBreak::Missing { after: AuditSeq(2), found: AuditSeq(4) }));
    let mut exchanged = rows.clone();
    exchanged.swap(2, 3);
    assert!(check(&exchanged, 5, None).is_err());

    // A row made anew with a fitting hash does not fit its neighbours.
    let mut forged = rows.clone();
    forged[2].detail = "forged".into();
    forged[2].hash = forged[2].computed_hash();
    assert_eq!(check(&forged, 5, None), Err(ChainBreak::Unlinked(AuditSeq(4))));
    // And a whole chain made anew does not fit a head that somebody remembered.
    let mut anew = rows[..2].to_vec();
    for old in &rows[2..] {
        let mut entry =
            AuditEntry { previous: anew.last().unwrap().hash, detail: "anew".into(), ..old.clone() };
        entry.hash = entry.computed_hash();
        anew.push(entry);
    }
    assert!(check(&anew, 5, None).is_ok());
    assert!(check(&anew, 5, Some(rows[1].head())).unwrap().remembered, "it was still honest then");
    assert_eq!(check(&anew, 5, Some(rows[3].head())), Err(ChainBreak::OtherHead(rows[3].head())));
    let head = rows[4].head();
    assert_eq!(check(&rows[..3], 3, Some(head)), Err(ChainBreak::BeforeHead { last: AuditSeq(3), head }));
}

#[test]
fn a_chain_begins_where_its_last_pruning_says() {
    let mut rows = chain();
    let (gone, end) = (rows[1].head(), rows[4].head());
    let prune = AuditRow::prune(Timestamp(9), AuditSeq(1), gone, Timestamp(5));
    rows.push(AuditEntry::link(&prune, AuditSeq(6), end.hash));
    let walk = |start, rows: &[AuditEntry]| {
        let mut check = ChainCheck::new(start, Some(gone));
        rows.iter().try_for_each(|row| check.next(row))?;
        check.end(AuditSeq(6))
    };
    let pruned = walk(gone, &rows[2..]).unwrap();
    assert_eq!((pruned.rows, pruned.start, pruned.remembered), (4, gone, true));
    // More was cut than was pruned, whatever the start says; or less.
    assert_eq!(walk(rows[2].head(), &rows[3..]), Err(ChainBreak::CutAtStart(AuditSeq(4))));
    assert_eq!(walk(gone, &rows[3..]), Err(ChainBreak::CutAtStart(AuditSeq(4))));
    assert_eq!(walk(AuditHead::NONE, &rows), Err(ChainBreak::CutAtStart(AuditSeq(1))));
    // Without a row that tells of a pruning there was none.
    assert_eq!(walk(gone, &rows[2..5]), Err(ChainBreak::CutAtStart(AuditSeq(3))));
}

#[test]
fn heads_are_text() {
    let head = AuditHead { seq: AuditSeq(12), hash: AuditHash([0xab; 32]) };
    assert_eq!(head.to_string(), format!("12:{}", "ab".repeat(32)));
    assert_eq!(head.to_string().parse(), Ok(head));
    for bad in [
        "",
        "12",
        "12:",
        ":ab",
        "x:ab",
        &format!("12:{}", "a".repeat(63)),
        &format!("-1:{}", "ab".repeat(32)),
    ] {
        assert!(bad.parse::<AuditHead>().is_err(), "{bad}");
    }
}
