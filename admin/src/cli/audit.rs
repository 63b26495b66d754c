//! `3s-server audit`: reads the audit log, or checks its chain. Rows go to stdout, one a line; names and paths are somebody
//! else's text, so what would move a terminal's cursor is escaped.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use sss_common::{Clock, SystemClock, Timestamp, Uid, When};

use crate::audit::{self, Filter};
use crate::owner::Owner;
use crate::words::{is_plain, shown};
use sss_server::run::compose::{self, Paths};
use sss_server::store::audit::Chained;
use sss_server::store::{AuditAction, AuditEntry, AuditHead, AuditSeq};

pub(super) const EXAMPLES: &str = "Examples:
  3s-server audit /var/lib/3s --user bob --since 24h
  3s-server audit /var/lib/3s --path @alice/contracts --action checkout --json
  3s-server audit /var/lib/3s --since 0s --follow
  3s-server audit /var/lib/3s --verify > head.txt
  3s-server audit /var/lib/3s --verify --head head.txt

Times are RFC 3339, as in 2026-11-26T08:00:00Z, or how long ago, as in 50s, 10m, 2h, 7d. With --json each line is an
object with seq, time, user, machine, action, document, path, outcome, detail, request_id, previous and hash.

--verify ends with 0 where the chain holds and 3 where it is broken, or does not have the remembered head; with 1 where that
could not be found out. Keep the head that it prints on another machine: who can write the database can write another
chain, and only a remembered head tells.";

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// The data directory.
    data_dir: PathBuf,
    /// Only what this user asked for, and what administrators did to it.
    #[arg(long, value_name = "UID")]
    user: Option<Uid>,
    /// Only what concerns this path, as in @alice/d, and what lies below it.
    #[arg(long, value_name = "PATH", value_parser = path)]
    path: Option<String>,
    /// Only from this time on.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only this action.
    #[arg(long, value_name = "ACTION", value_parser = actions())]
    action: Option<AuditAction>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Go on with the rows to come.
    #[arg(long)]
    follow: bool,
    /// Check the chain, and print its head.
    #[arg(long, conflicts_with_all = ["user", "path", "since", "until", "action", "json", "follow"])]
    verify: bool,
    /// A head to be found in the chain: SEQ:HASH, or a file with what --verify printed.
    #[arg(long, value_name = "FILE|SEQ:HASH", requires = "verify")]
    head: Option<String>,
}

fn path(text: &str) -> Result<String, String> {
    match text.starts_with('@') {
        true => Ok(text.into()),
        false => Err("a path begins with its home, as in @alice/report.pdf".into()),
    }
}

/// A time, or how long ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    let now = SystemClock.now();
    match (text, text.parse()) {
        ("0" | "0s", _) => Ok(now),
        (_, Ok(When::Until(at))) => Ok(at),
        (_, Ok(When::Seconds(ago))) => {
            let ago = i64::try_from(ago).unwrap_or(i64::MAX).saturating_mul(1000);
            Ok(Timestamp(now.millis().saturating_sub(ago)))
        }
        (_, Err(_)) => Err("a time is like 2026-11-26T08:00:00Z, or like 50s, 10m, 2h, 7d ago".into()),
    }
}

fn actions() -> impl TypedValueParser<Value = AuditAction> {
    PossibleValuesParser::new(AuditAction::ALL.iter().map(|action| action.word()))
        .try_map(|word| word.parse::<AuditAction>())
}

/// The chain does not hold: a command that ends with another code than other failures.
#[derive(Debug, thiserror::Error)]
#[error(
    "the audit log is not whole: {0}\nleave DATA_DIR as it is, copy it, and compare it with its backups: server/docs/AUDIT.md says how"
)]
pub struct Broken(sss_server::store::audit::ChainBreak);

impl AuditArgs {
    /// Does what the command line says.
    pub(super) fn execute(self) -> anyhow::Result<()> {
        if self.verify {
            let remembered = self.head.as_deref().map(remembered).transpose()?;
            Owner::become_of(&self.data_dir)?;
            return verify(&self.data_dir, remembered);
        }
        let AuditArgs { data_dir, user, path, since, until, action, json, follow, .. } = self;
        Owner::become_of(&data_dir)?;
        let filter = Filter { user, path, since, until, action };
        let out = io::stdout();
        let mut screen =
            Screen { json, widths: [8, 8], header: !json && out.is_terminal(), out: BufWriter::new(out) };
        let screen = std::cell::RefCell::new(&mut screen);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let meta = compose::open_meta(&data_dir)?;
            let each = |row: &AuditEntry| still_read(screen.borrow_mut().row(row));
            audit::read(&*meta, &filter, follow, each, || still_read(screen.borrow_mut().out.flush())).await
        })
    }
}

/// Whether anybody reads on: who closed the pipe does not want more.
fn still_read(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("the rows cannot be written out"),
    }
}

/// A head as it was given: itself, or the file in which it was kept.
fn remembered(text: &str) -> anyhow::Result<AuditHead> {
    if let Ok(head) = text.parse() {
        return Ok(head);
    }
    const WAY_ON: &str = "give SEQ:HASH, or a file with the line `head SEQ:HASH` that --verify printed";
    let kept = std::fs::read_to_string(text).map_err(|error| anyhow::anyhow!("{text}: {error}\n{WAY_ON}"))?;
    let heads = kept.lines().map(|line| line.strip_prefix("head ").unwrap_or(line).trim());
    let head = heads.rev().find_map(|line| line.parse().ok());
    head.ok_or_else(|| anyhow::anyhow!("{text}: there is no head in it\n{WAY_ON}"))
}

fn verify(data_dir: &Path, remembered: Option<AuditHead>) -> anyhow::Result<()> {
    let chained = audit::verify(&Paths::of(data_dir, None).meta, remembered)?.map_err(Broken)?;
    still_read(writeln!(io::stdout(), "{}", account(&chained, remembered)))?;
    match remembered {
        Some(head) if !chained.remembered => anyhow::bail!(
            "the remembered head {head} lies in what was pruned, so it proves nothing any more\nremember the head above in its place"
        ),
        _ => Ok(()),
    }
}

fn account(chained: &Chained, remembered: Option<AuditHead>) -> String {
    let Chained { rows, start, head, remembered: met } = chained;
    let mut account = format!("the chain holds: {rows} rows, {} to {}", start.seq.next(), head.seq);
    if start.seq > AuditSeq::NONE {
        let _ = write!(account, "; those up to {} were pruned", start.seq);
    }
    if let Some(head) = remembered.filter(|_| *met) {
        let _ = write!(account, "\nthe remembered head is row {} of it", head.seq);
    }
    account + &format!("\nhead {head}")
}

/// Where rows are written.
struct Screen<W: Write> {
    json: bool,
    /// Of the columns that have no fixed one: user and machine. They only grow.
    widths: [usize; 2],
    header: bool,
    out: W,
}

impl<W: Write> Screen<W> {
    fn row(&mut self, row: &AuditEntry) -> io::Result<()> {
        if self.json {
            return writeln!(self.out, "{}", json(row));
        }
        let none = || "-".to_owned();
        let user = row.user.as_deref().map_or_else(none, shown);
        let machine = row.machine.as_deref().map_or_else(none, shown);
        let path = if row.path.is_empty() { none() } else { shown(&row.path) };
        if std::mem::take(&mut self.header) {
            self.line("TIME", "USER", "MACHINE", "ACTION", "OUTCOME", "PATH", "DETAIL")?;
        }
        let (action, outcome) = (shown(&row.action), shown(&row.outcome));
        self.line(&row.time.precise(), &user, &machine, &action, &outcome, &path, &shown(&row.detail))
    }

    #[allow(clippy::too_many_arguments)] // one for each column
    fn line(
        &mut self,
        time: &str,
        user: &str,
        machine: &str,
        action: &str,
        outcome: &str,
        path: &str,
        detail: &str,
    ) -> io::Result<()> {
        self.widths = [self.widths[0].max(user.chars().count()), self.widths[1].max(machine.chars().count())];
        let [users, machines] = self.widths;
        let line =
            format!("{time:24} {user:users$} {machine:machines$} {action:17} {outcome:7} {path}  {detail}");
        writeln!(self.out, "{}", line.trim_end())
    }
}

/// A row as one line of JSON. Field names are for programs: they stay.
fn json(row: &AuditEntry) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        seq: AuditSeq,
        time: String,
        user: Option<&'a str>,
        machine: Option<&'a str>,
        action: &'a str,
        document: Option<String>,
        path: &'a str,
        outcome: &'a str,
        detail: &'a str,
        request_id: &'a str,
        previous: String,
        hash: String,
    }
    let line = Line {
        seq: row.seq,
        time: row.time.precise(),
        user: row.user.as_deref(),
        machine: row.machine.as_deref(),
        action: &row.action,
        document: row.document.as_ref().map(hex::encode),
        path: &row.path,
        outcome: &row.outcome,
        detail: &row.detail,
        request_id: &row.request_id,
        previous: row.previous.to_string(),
        hash: row.hash.to_string(),
    };
    let text = serde_json::to_string(&line).unwrap_or_default();
    // Outside of its strings JSON is plain, so what is left to escape stands inside of them.
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match is_plain(c) {
            true => plain.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(plain, "\\u{unit:04x}");
            }),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use sss_server::store::AuditHash;

    fn row(path: &str) -> AuditEntry {
        AuditEntry {
            seq: AuditSeq(7),
            time: Timestamp(1_795_359_845_123),
            user: Some("alice".into()),
            machine: Some("client1".into()),
            action: "checkin".into(),
            document: Some(vec![0xab; 16]),
            path: path.into(),
            outcome: "allowed".into(),
            detail: "version 3".into(),
            request_id: "r1".into(),
            previous: AuditHash([1; 32]),
            hash: AuditHash([2; 32]),
        }
    }

    fn written(rows: &[AuditEntry], json: bool, header: bool) -> String {
        let mut screen = Screen { json, widths: [8, 8], header, out: Vec::new() };
        rows.iter().for_each(|row| screen.row(row).unwrap());
        String::from_utf8(screen.out).unwrap()
    }

    #[test]
    fn rows_are_aligned_and_harmless() {
        let login =
            AuditEntry { user: None, machine: None, path: String::new(), detail: String::new(), ..row("") };
        let evil = row("@alice/\u{1b}[2Jx\n\u{202e}");
        let text = written(&[row("@alice/a b"), login, evil], false, true);
        let expected = "\
TIME                     USER     MACHINE  ACTION            OUTCOME PATH  DETAIL
2026-11-22T15:04:05.123Z alice    client1  checkin           allowed @alice/a b  version 3
2026-11-22T15:04:05.123Z -        -        checkin           allowed -
2026-11-22T15:04:05.123Z alice    client1  checkin           allowed @alice/\\u{1b}[2Jx\\n\\u{202e}  version 3
";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_one_harmless_object_a_line_and_says_all() {
        let path = "@alice/\u{1b}[2J\u{9b}\u{202e}\"\\\n\u{1d11e}";
        let text = written(&[row(path)], true, false);
        assert!(text.ends_with("}\n") && text.lines().count() == 1);
        assert!(text.trim_end().chars().all(is_plain), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["path"], path);
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = [
            "seq",
            "time",
            "user",
            "machine",
            "action",
            "document",
            "path",
            "outcome",
            "detail",
            "request_id",
            "previous",
            "hash",
        ];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        // Who has the lines can compute the hash.
        assert_eq!(value["time"].as_str().unwrap().parse::<Timestamp>().unwrap(), row("").time);
        assert_eq!(
            (value["document"].as_str(), value["seq"].as_u64()),
            (Some("ab".repeat(16).as_str()), Some(7))
        );
    }

    #[test]
    fn times_are_moments_or_how_long_ago() {
        assert_eq!(moment("2026-11-22T15:04:05Z").unwrap(), Timestamp(1_795_359_845_000));
        let now = SystemClock.now().millis();
        for (text, ago) in [("0s", 0), ("50s", 50), ("2h", 7200), ("7d", 7 * 86_400)] {
            let seconds = (now - moment(text).unwrap().millis()) / 1000;
            assert!((ago - 60..=ago).contains(&seconds), "{text}: {seconds}");
        }
        for bad in ["", "yesterday", "2h ago", "-1s", "2026-11-22"] {
            assert!(moment(bad).unwrap_err().contains("2h"), "{bad}");
        }
    }

    #[test]
    fn a_head_is_given_or_kept_in_a_file() {
        let head = AuditHead { seq: AuditSeq(7), hash: AuditHash([2; 32]) };
        assert_eq!(remembered(&head.to_string()).unwrap(), head);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("head.txt");
        let chained = Chained {
            rows: 4,
            start: AuditHead { seq: AuditSeq(3), hash: AuditHash([1; 32]) },
            head,
            remembered: true,
        };
        for kept in [account(&chained, Some(head)), format!("{head}\n")] {
            std::fs::write(&file, kept).unwrap();
            assert_eq!(remembered(file.to_str().unwrap()).unwrap(), head);
        }
        std::fs::write(&file, "nothing").unwrap();
        for bad in [file.to_str().unwrap(), "/no/such/file", "7:ab"] {
            let words = remembered(bad).unwrap_err().to_string();
            assert!(words.lines().count() == 2 && words.contains("SEQ:HASH"), "{words}");
        }
    }
}
