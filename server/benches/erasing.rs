//! `make bench-erase`: what erasing a key costs, against the number of keys in the store.
//!
//! For each size a store is filled once, on a real SQLite file with a real keyring file; each measurement works on
//! a fresh copy of them with a vault that was just opened, so every node on the way is read from the store. What is timed
//! is the service's own loop: keyring, transaction, keyring, and again while leaves are left (one erasure rewrites 512
//! parents of leaves at most). Bytes are those that the process handed to the kernel (`/proc/self/io`, wchar).
//!
//! Filling takes images once for every 64 leaves, a node's worth: a million keys take seconds.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use sss_common::clock::monotonic;
use sss_common::{Epoch, NodeId, PackId, Timestamp};
use sss_policy::{Allowed, Facts, Own, decide};
use sss_server::service::StoredKeys;
use sss_server::store::sqlite::SqliteStore;
use sss_server::store::{Erased, MetaStore};
use sss_vault::sealed::{KeyImage, Leaf};
use sss_vault::{Sealer, Vault, VaultPaths};

const USAGE: &str =
    "usage: cargo bench -p sss-server --bench erasing -- [--keys N,N…] [--rounds N] [--dir DIR]
  --keys N,N…  sizes of the store (1000,10000,100000,1000000; each 1 to 10000000)
  --rounds N   rounds, of which the best and the median are shown (7; 1 to 1000)
  --dir DIR    where the stores lie meanwhile (TMPDIR)
example: make bench-erase BENCH='--keys 1000,10000 --rounds 3'";

/// Keys of a node: images of a node hold all of them, so they are taken once for so many.
const FAN_OUT: usize = 64;

/// Images that filling writes in one transaction.
const FILL_BATCH: usize = 4096;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("erasing: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure_all(&options))
}

/// What to measure.
struct Options {
    sizes: Vec<u64>,
    rounds: usize,
    dir: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options =
            Options { sizes: vec![1000, 10_000, 100_000, 1_000_000], rounds: 7, dir: std::env::temp_dir() };
        while let Some(name) = arguments.next() {
            // What cargo says to every bench.
            if name == "--bench" {
                continue;
            }
            let value = arguments.next().with_context(|| format!("{name} needs a value\n{USAGE}"))?;
            let number = |text: &str, most: u64| {
                let number = text.parse().ok().filter(|number| (1..=most).contains(number));
                number.with_context(|| format!("{name} takes numbers from 1 to {most}\n{USAGE}"))
            };
            match name.as_str() {
                "--keys" => {
                    let sizes = value.split(',').map(|text| number(text, 10_000_000));
                    options.sizes = sizes.collect::<anyhow::Result<_>>()?;
                }
                "--rounds" => options.rounds = number(&value, 1000)? as usize,
                "--dir" => options.dir = value.into(),
                _ => bail!("`{name}` is no option\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

/// Every round goes through all sizes and batches, so that a disk that is slow for a while is slow for all of them.
async fn measure_all(options: &Options) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new().prefix("3s-erasing-").tempdir_in(&options.dir)?;
    let folder = |keys: u64| scratch.path().join(keys.to_string());
    for &keys in &options.sizes {
        fill(&folder(keys), keys).await?;
    }
    let fits = |keys: u64| BATCHES.iter().filter(move |batch| batch.keys <= keys);
    let all: Vec<_> =
        options.sizes.iter().flat_map(|&keys| fits(keys).map(move |batch| (keys, batch))).collect();
    let mut costs = vec![Vec::new(); all.len()];
    for round in 1..=options.rounds {
        for ((keys, batch), costs) in all.iter().zip(&mut costs) {
            say(&format!("round {round} of {}: {keys} keys, {}", options.rounds, batch.name));
            costs.push(measure(&folder(*keys), *keys, batch, round as u64).await?);
        }
    }
    say("");
    print!("{}", table(options, &all, costs));
    Ok(())
}

fn table(options: &Options, all: &[(u64, &Batch)], costs: Vec<Vec<Cost>>) -> String {
    let head = format!(
        "{} rounds in {}; each batch by a vault that was just opened; counts are of the batch in its best round",
        options.rounds,
        options.dir.display()
    );
    let rows = all.iter().zip(costs).map(|((keys, batch), costs)| Row::new(*keys, batch, costs).to_string());
    [head, Row::HEAD.into()].into_iter().chain(rows).fold(String::new(), |text, line| text + &line + "\n")
}

/// Progress, where somebody watches; each overwrites the one before.
fn say(what: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}

/// Keys that are erased together.
struct Batch {
    keys: u64,
    name: &'static str,
    /// Over the whole tree, else side by side.
    spread: bool,
}

const BATCHES: &[Batch] = &[
    Batch { keys: 1, name: "1", spread: false },
    Batch { keys: 100, name: "100 adjacent", spread: false },
    Batch { keys: 100, name: "100 spread", spread: true },
    Batch { keys: 1000, name: "1000 adjacent", spread: false },
    Batch { keys: 1000, name: "1000 spread", spread: true },
];

impl Batch {
    /// Other leaves in every round.
    fn leaves(&self, keys: u64, round: u64) -> Vec<Leaf> {
        let (step, first) = if self.spread {
            let step = keys / self.keys;
            (step, round * 7919 % step)
        } else {
            (1, round * 7919 % (keys - self.keys + 1))
        };
        (0..self.keys).map(|n| Leaf(first + n * step)).collect()
    }
}

/// What one batch took.
#[derive(Clone, Default)]
struct Cost {
    /// New root keys: one for each erasure.
    roots: u64,
    nodes: u64,
    sealed: u64,
    keyring: u64,
    store: u64,
    took: Duration,
}

async fn measure(filled: &Path, keys: u64, batch: &Batch, round: u64) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir_in(filled)?;
    for name in ["meta.db", "server.key", "server.pub", "keyring"] {
        std::fs::copy(filled.join(name), folder.path().join(name))?;
    }
    // Nobody pays for what the copy left to be written.
    rustix::fs::sync();
    let store = open(folder.path(), Some(Leaf(keys - 1))).await?;
    let leaves = batch.leaves(keys, round);
    let cost = erase(&store, &leaves).await?;
    ensure!(is_erased(&store, leaves[0]).await?, "the key is still there: nothing was measured");
    Ok(cost)
}

/// A store that is open.
struct Store {
    meta: Arc<dyn MetaStore>,
    vault: Vault,
}

async fn open(folder: &Path, last_leaf: Option<Leaf>) -> anyhow::Result<Store> {
    let meta: Arc<dyn MetaStore> = Arc::new(SqliteStore::open(&folder.join("meta.db"))?);
    let vault = Vault::open(paths(folder), Arc::new(StoredKeys(meta.clone())), last_leaf).await?;
    Ok(Store { meta, vault })
}

fn paths(folder: &Path) -> VaultPaths {
    VaultPaths {
        server_key: folder.join("server.key"),
        server_pub: folder.join("server.pub"),
        keyring: folder.join("keyring"),
    }
}

/// As the service's maintenance does it.
async fn erase(store: &Store, leaves: &[Leaf]) -> anyhow::Result<Cost> {
    let (mut cost, mut left) = (Cost::default(), leaves);
    let began = monotonic();
    while !left.is_empty() {
        let before = written()?;
        let erasing = store.vault.begin_erase(left).await?;
        let images = erasing.images();
        let done = erasing.leaves().len();
        cost.roots += 1;
        cost.nodes += images.len() as u64;
        cost.sealed += images.iter().map(|image| image.sealed.len() as u64).sum::<u64>();
        let staged = written()?;
        write(store, &left[..done], images, erasing.epoch()).await?;
        let committed = written()?;
        store.vault.finish_erase(erasing).await?;
        cost.store += committed - staged;
        cost.keyring += staged - before + written()? - committed;
        left = &left[done..];
    }
    cost.took = began.elapsed();
    Ok(cost)
}

/// The one place that writes nodes to the store.
async fn write(store: &Store, leaves: &[Leaf], images: Vec<KeyImage>, epoch: Epoch) -> anyhow::Result<()> {
    Ok(store.meta.erased(leaves, images, Erased { epoch, time: Timestamp(0) }).await?)
}

/// Bytes that this process has handed to the kernel.
fn written() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io").context("/proc/self/io cannot be read")?;
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|count| count.parse().ok()).context("/proc/self/io has no line wchar")
}

async fn is_erased(store: &Store, leaf: Leaf) -> anyhow::Result<bool> {
    match store.vault.opener(&owner()?, leaf).await {
        Ok(_) => Ok(false),
        Err(sss_vault::VaultError::Erased) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A store with so many keys, in files that are closed again.
async fn fill(folder: &Path, keys: u64) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    drop(SqliteStore::create(&folder.join("meta.db"))?);
    Vault::create(&paths(folder))?;
    let store = open(folder, None).await?;
    let owner = owner()?;
    let (mut node, mut images): (Vec<Sealer>, _) = (Vec::with_capacity(FAN_OUT), Vec::new());
    for key in 1..=keys {
        node.push(store.vault.begin(&owner, PackId([1; 16])).await?);
        if node.len() < FAN_OUT && key < keys {
            continue;
        }
        let last = node.last().context("a node has a key")?;
        images.extend(store.vault.images(last).await?);
        node.drain(..).for_each(|sealer| store.vault.committed(sealer));
        if images.len() >= FILL_BATCH || key == keys {
            say(&format!("filling: {key} of {keys} keys"));
            write(&store, &[], std::mem::take(&mut images), Epoch::FIRST).await?;
        }
    }
    Ok(())
}

fn owner() -> anyhow::Result<Allowed<Own>> {
    let facts = Facts::at_home("alice".parse()?, NodeId([1; 16]));
    decide(&facts, Own, Timestamp(0)).map_err(|refusal| anyhow::anyhow!("{refusal}"))
}

/// A line of the table.
struct Row {
    keys: u64,
    batch: &'static str,
    erased: u64,
    best: Cost,
    median: Duration,
}

impl Row {
    fn new(keys: u64, batch: &Batch, mut costs: Vec<Cost>) -> Self {
        costs.sort_by_key(|cost| cost.took);
        let median = costs[costs.len() / 2].took;
        Row { keys, batch: batch.name, erased: batch.keys, best: costs.swap_remove(0), median }
    }

    const HEAD: &str = "\
keys in | keys per      | new  | nodes     | bytes of | bytes of | bytes to  | us per erasure  | us per key
store   | batch         | root | rewritten | nodes    | keyring  | the store | best     median | best     median";
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row { keys, batch, erased, best, median } = self;
        let micros = |took: &Duration, parts: u64| took.as_secs_f64() * 1e6 / parts as f64;
        write!(
            f,
            "{keys:<7} | {batch:<13} | {:>4} | {:>9} | {:>8} | {:>8} | {:>9} | {:>7.0} {:>7.0} | {:>7.1} {:>7.1}",
            best.roots,
            best.nodes,
            best.sealed,
            best.keyring,
            best.store,
            micros(&best.took, best.roots),
            micros(median, best.roots),
            micros(&best.took, *erased),
            micros(median, *erased),
        )
    }
}
