//! The same sequence on the reference, on the memory twin and on the real server; what differs, and at which step.

use std::collections::BTreeMap;
use std::fmt;

use sss_common::limits::LIST_MAX;
use sss_common::wire::Empty;
use sss_common::wire::fs::{Attr, HomeRequest, ListRequest, LookupRequest};
use sss_common::{Code, Effective, Kind, NodeId, Timestamp, Uid};
use sss_fs_client::remote::{Remote, RemoteError};

use crate::answer::{Answer, Shown, is_conflict_copy, without_time};
use crate::driver::Driver;
use crate::memory::Memory;
use crate::real::Real;
use crate::reference::Model;
use crate::site::Site;
use crate::step::{Fault, NAMES, Path, Seat, Step, USERS, readable};

/// When every sequence begins, by the clock of the server and of all machines.
const START: Timestamp = Timestamp(1_795_359_845_000);

/// Where a sequence went apart.
pub struct Difference {
    /// The steps up to there.
    pub steps: Vec<Step>,
    /// In words.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}{}\n", readable(&self.steps), self.what)
    }
}

impl fmt::Debug for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How often each kind of step was answered how: what a test that found nothing was about.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<(String, String), usize>);

impl Tally {
    fn count(&mut self, step: &Step, answer: &Answer) {
        let kind = match step {
            Step::Failing(fault, step) => format!("{} {fault:?}", kind_of(step)),
            step => kind_of(step),
        };
        let class = match answer {
            Answer::Failed(_) => format!("{answer:?}"),
            Answer::Skipped => "skipped".into(),
            _ => "done".into(),
        };
        *self.0.entry((kind, class)).or_default() += 1;
    }

    /// Both together.
    pub fn add(&mut self, other: Tally) {
        for (key, count) in other.0 {
            *self.0.entry(key).or_default() += count;
        }
    }
}

fn kind_of(step: &Step) -> String {
    format!("{step:?}").split([' ', '(']).next().unwrap_or_default().into()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((kind, class), count) in &self.0 {
            kinds.entry(kind).or_default().push(format!("{class} {count}"));
        }
        kinds.iter().try_for_each(|(kind, classes)| writeln!(f, "{kind:16} {}", classes.join(", ")))
    }
}

/// Which systems a sequence is played on, beside the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The client's memory twin.
    Memory,
    /// The server over HTTPS.
    Real,
}

impl On {
    /// Both.
    pub const BOTH: [On; 2] = [On::Memory, On::Real];
}

/// Plays a sequence, and everything that can be seen is looked at after every step and, closer, at the end.
pub async fn compare(steps: &[Step], on: &[On]) -> Result<Tally, Difference> {
    let mut tally = Tally::default();
    for on in on {
        let played = match on {
            On::Memory => Run::new("the memory twin", Driver::new(Memory::start(START))).play(steps).await,
            On::Real => Run::new("the server", Driver::new(Real::start(START).await)).play(steps).await,
        };
        match played {
            Ok(counted) => tally.add(counted),
            Err((at, what)) => {
                return Err(Difference { steps: steps[..at.min(steps.len())].to_vec(), what });
            }
        }
    }
    Ok(tally)
}

struct Run<S> {
    name: &'static str,
    driver: Driver<S>,
    model: Model,
    tally: Tally,
}

impl<S: Site> Run<S> {
    fn new(name: &'static str, driver: Driver<S>) -> Self {
        Run { name, driver, model: Model::new(START.0), tally: Tally::default() }
    }

    async fn play(mut self, steps: &[Step]) -> Result<Tally, (usize, String)> {
        for (at, step) in steps.iter().enumerate() {
            let answer = self.step(step).await;
            if self.model.lost_track() {
                return Ok(self.tally);
            }
            let answer = answer.map_err(|what| (at + 1, what))?;
            self.tally.count(step, &answer);
            self.look(at).await.map_err(|what| (at + 1, what))?;
        }
        self.end(steps).await.map_err(|what| (steps.len(), what))?;
        Ok(self.tally)
    }

    async fn step(&mut self, step: &Step) -> Result<Answer, String> {
        let expected = self.model.play(step);
        let answer = self.driver.play(step).await;
        if expected.fits(&answer) {
            return Ok(answer);
        }
        Err(format!("{step}\n  expected: {expected:?}\n  {}: {answer:?}", self.name))
    }

    /// What each user is shown, and what is found under each name by one of them.
    async fn look(&mut self, turn: usize) -> Result<(), String> {
        let awake = self.model.awake();
        for seat in &awake {
            let expected = self.model.view(seat.user());
            let found = self.view(*seat).await?;
            if expected != found {
                return Err(self.apart(*seat, "is shown", &expected, &found));
            }
        }
        match awake.get(turn % awake.len().max(1)) {
            Some(seat) => self.look_closely(*seat).await,
            None => Ok(()),
        }
    }

    fn apart(&self, seat: Seat, verb: &str, expected: &[Shown], found: &[Shown]) -> String {
        let lines = |of: &[Shown], other: &[Shown]| -> String {
            of.iter().filter(|shown| !other.contains(shown)).map(|shown| format!("\n    {shown:?}")).collect()
        };
        let (missing, unexpected) = (lines(expected, found), lines(found, expected));
        format!("{seat} {verb}\n  expected: {missing}\n  {}: {unexpected}", self.name)
    }

    async fn view(&self, seat: Seat) -> Result<Vec<Shown>, String> {
        let remote = self.remote(seat)?;
        let failed = |error: RemoteError| format!("{seat} lists everything: {error:?}");
        let own = remote.home(HomeRequest { uid: remote.uid().clone() }).await.map_err(failed)?;
        let mut found = vec![shown(String::new(), &own)];
        view_below(remote, own.node, String::new(), &mut found).await.map_err(failed)?;
        for uid in remote.homes(Empty {}).await.map_err(failed)?.uids {
            let home = remote.home(HomeRequest { uid: uid.clone() }).await.map_err(failed)?;
            found.push(shown(format!("@{uid}"), &home));
            view_below(remote, home.node, format!("@{uid}"), &mut found).await.map_err(failed)?;
        }
        found.sort();
        Ok(found)
    }

    fn remote(&self, seat: Seat) -> Result<&dyn Remote, String> {
        let mount = self.driver.mounted(seat).ok_or_else(|| format!("nothing is mounted by {seat}"))?;
        Ok(&*mount.remote)
    }

    /// Every name in every home and in every folder `d`.
    async fn look_closely(&self, seat: Seat) -> Result<(), String> {
        let user = seat.user();
        for home in 0..USERS.len() {
            for names in [vec![], vec!["d"]] {
                let folder = Path { home, names };
                let at = self.find(seat, &folder).await?;
                for name in NAMES {
                    let expected = self.model.looked_up(user, &folder, name);
                    let found = match at {
                        Some(at) => self.look_up(seat, at, name).await?,
                        None => None,
                    };
                    let found = found.map(|attr| shown(format!("{folder}/{name}"), &attr));
                    if expected != found {
                        let (expected, found) = (Vec::from_iter(expected), Vec::from_iter(found));
                        return Err(self.apart(
                            seat,
                            &format!("looks {folder}/{name} up"),
                            &expected,
                            &found,
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    async fn find(&self, seat: Seat, path: &Path) -> Result<Option<NodeId>, String> {
        let remote = self.remote(seat)?;
        let uid: Uid = USERS[path.home].parse().map_err(|error| format!("{error}"))?;
        let mut at = match remote.home(HomeRequest { uid: uid.clone() }).await {
            Ok(attr) => Some(attr.node),
            Err(RemoteError::Refused { code: Code::NotFound, .. }) => None,
            Err(error) => return Err(format!("{seat} looks @{uid} up: {error:?}")),
        };
        for name in &path.names {
            at = match at {
                Some(folder) => self.look_up(seat, folder, name).await?.map(|attr| attr.node),
                None => None,
            };
        }
        Ok(at)
    }

    async fn look_up(&self, seat: Seat, parent: NodeId, name: &str) -> Result<Option<Attr>, String> {
        let name = name.parse().map_err(|error| format!("{error}"))?;
        match self.remote(seat)?.lookup(LookupRequest { parent, name }).await {
            Ok(attr) => Ok(Some(attr)),
            Err(RemoteError::Refused { code: Code::NotFound, .. }) => Ok(None),
            Err(error) => Err(format!("{seat} looks a name up: {error:?}")),
        }
    }

    /// All handles are closed, and every document is read by everybody.
    async fn end(&mut self, steps: &[Step]) -> Result<(), String> {
        for (seat, handle) in self.model.handles() {
            let closed = self.step(&Step::Close { seat, handle }).await;
            if self.model.lost_track() {
                return Ok(());
            }
            closed?;
        }
        for seat in self.model.awake() {
            let tried = self.step(&Step::Retry(seat)).await;
            if self.model.lost_track() {
                return Ok(());
            }
            tried?;
        }
        for seat in self.model.awake() {
            for home in 0..USERS.len() {
                for path in
                    NAMES.iter().map(|name| vec![*name]).chain(NAMES.iter().map(|name| vec!["d", *name]))
                {
                    let path = Path { home, names: path };
                    if self.model.is_link(&path) {
                        self.step(&Step::Readlink { seat, path: path.clone() }).await?;
                    }
                    if self.model.has_attributes(&path) {
                        self.step(&Step::Attributes { seat, path: path.clone() }).await?;
                    }
                    self.step(&Step::Cat { seat, path }).await?;
                }
            }
        }
        self.step(&Step::Maintain).await?;
        self.look(0).await?;
        // What a failing database left of a pack is the sweeper's, after its time.
        let undecided = |step: &Step| matches!(step, Step::Failing(Fault::Backend | Fault::Late, _));
        if steps.iter().any(undecided) { Ok(()) } else { self.driver.site.check().await }
    }
}

async fn view_below(
    remote: &dyn Remote,
    folder: NodeId,
    path: String,
    found: &mut Vec<Shown>,
) -> Result<(), RemoteError> {
    let mut folders = vec![(folder, path)];
    while let Some((folder, path)) = folders.pop() {
        let page = remote.list(ListRequest { folder, after: None, limit: LIST_MAX }).await?;
        for entry in page.entries {
            let path = format!("{path}/{}", without_time(entry.name.as_str()));
            found.push(shown(path.clone(), &entry.attr));
            if entry.attr.kind == Kind::Folder {
                folders.push((entry.attr.node, path));
            }
        }
    }
    Ok(())
}

fn shown(path: String, attr: &Attr) -> Shown {
    let copy = is_conflict_copy(&path);
    Shown {
        path,
        kind: attr.kind,
        size: attr.size,
        mode: if copy { 0 } else { attr.mode },
        time: attr.mtime_ns.0.div_euclid(1_000_000),
        version: attr.version.0,
        owner: attr.owner.to_string(),
        author: attr.author.as_ref().map(ToString::to_string),
        flag: attr.flag.filter(|_| !copy).map(|flag| flag.as_str().into()),
        right: right(&attr.right),
    }
}

fn right(right: &Effective) -> String {
    match right {
        Effective { ends_in_ms: Some(ms), .. } => format!("{} for {ms} ms", right.as_str()),
        Effective { .. } => right.as_str().into(),
    }
}
