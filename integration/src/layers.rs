//! The walls between the rooms, as something that can be checked.
//!
//! Reads every `crate::room` in a crate's sources (and `super::` chains that climb out of a room) and every dependency
//! in a `Cargo.toml`, and says which of them point up. A reader of text, not of Rust: comments and
//! the insides of string literals on one line are passed over, and whatever else it does not understand it reports.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of the same height.
pub struct Floor {
    /// The rooms.
    pub rooms: &'static [&'static str],
    /// Whether they may name each other.
    pub together: bool,
}

/// The server's rooms from the top down.
pub const SERVER: &[Floor] = &[
    Floor { rooms: &["lib"], together: false },
    Floor { rooms: &["run"], together: false },
    Floor { rooms: &["config"], together: false },
    Floor { rooms: &["tls"], together: false },
    Floor { rooms: &["routes"], together: false },
    Floor { rooms: &["service"], together: false },
    Floor { rooms: &["vault", "store"], together: false },
    Floor { rooms: &["policy", "sealed", "failpoint"], together: false },
];

/// The rooms of the server's program, above [`SERVER`]'s, from the top down: commands may be made of one another, as a drill is
/// of a backup.
pub const ADMIN: &[Floor] = &[
    Floor { rooms: &["lib", "main"], together: false },
    Floor { rooms: &["cli"], together: false },
    Floor { rooms: &["audit", "backup", "drill", "removal", "restore", "rotate", "scrub"], together: true },
    Floor { rooms: &["bundle", "carve", "moment", "replay", "trash"], together: true },
    Floor { rooms: &["names", "owner", "words"], together: false },
    Floor { rooms: &["vault", "sealed", "policy", "failpoint"], together: true },
];

/// The client's rooms from the top down.
pub const CLIENT: &[Floor] = &[
    Floor { rooms: &["lib", "main"], together: false },
    Floor { rooms: &["run"], together: false },
    Floor { rooms: &["cli"], together: false },
    Floor { rooms: &["config"], together: false },
    Floor { rooms: &["fuse"], together: false },
    Floor { rooms: &["fs"], together: false },
    Floor { rooms: &["tree", "document"], together: false },
    Floor { rooms: &["remote", "recovery"], together: false },
    Floor { rooms: &["identity"], together: false },
    Floor { rooms: &["places"], together: false },
];

/// Crates that are rooms of the server, and the one module of `vault` that `store` may name too: the sealed bytes that
/// pass between them.
const ROOM_CRATES: &[(&str, &str)] = &[
    ("sss_vault::sealed", "sealed"),
    ("sss_vault", "vault"),
    ("sss_policy", "policy"),
    ("sss_failpoint", "failpoint"),
];

/// What each of our crates may depend on among our crates; the client's tests depend on it with its twins.
/// Nothing may depend on `sss-integration` or `sss-model`: they are tests. `sss-model` alone sees both the client
/// and the server, which never see each other: it plays the one on the other, in one process, with one clock.
pub const CRATES: &[(&str, &str, &[&str])] = &[
    ("common", "sss-common", &[]),
    ("certs", "sss-certs", &["sss-common"]),
    ("failpoint", "sss-failpoint", &[]),
    ("policy", "sss-policy", &["sss-common"]),
    ("vault", "sss-vault", &["sss-common", "sss-policy", "sss-failpoint"]),
    ("server", "sss-server", &["sss-common", "sss-certs", "sss-policy", "sss-vault", "sss-failpoint"]),
    (
        "admin",
        "sss-admin",
        &["sss-common", "sss-certs", "sss-policy", "sss-vault", "sss-failpoint", "sss-server"],
    ),
    ("fs-client", "sss-fs-client", &["sss-common", "sss-certs", "sss-fs-client"]),
    (
        "model",
        "sss-model",
        &["sss-common", "sss-certs", "sss-policy", "sss-vault", "sss-server", "sss-fs-client"],
    ),
    ("integration", "sss-integration", &["sss-common", "sss-certs", "sss-admin", "sss-fs-client"]),
];

/// All that points up in a crate's `src` folder, one line each.
pub fn violations(src: &Path, floors: &[Floor]) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(src) {
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let within = file.strip_prefix(src).unwrap_or(&file);
        found.extend(
            check(within, &text, floors).into_iter().map(|what| format!("{}: {what}", file.display())),
        );
    }
    found
}

/// What points up in one file; `within` is its path below `src`.
pub fn check(within: &Path, text: &str, floors: &[Floor]) -> Vec<String> {
    let parts = module_of(within);
    let room = parts.first().map_or("lib", String::as_str);
    let Some(from) = height(floors, room) else {
        return vec![format!("room `{room}` stands in no floor: give it one in integration/src/layers.rs")];
    };
    let mut found = Vec::new();
    for (line, named) in names(text, parts.len()) {
        let what = match height(floors, &named) {
            _ if named == room => continue,
            None => format!("`crate::{named}` is no room"),
            Some(to) if to > from || (to == from && floors[from].together) => continue,
            Some(to) if to == from => format!("`{room}` names its sibling `{named}`"),
            Some(_) => format!("`{room}` names `{named}` above it"),
        };
        found.push(format!("line {line}: {what}"));
    }
    found
}

/// Dependencies among our crates that may not be, in the text of a `Cargo.toml`.
pub fn dependency_violations(manifest: &str, allowed: &[&str]) -> Vec<String> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.contains("dependencies");
            // `[dependencies.sss-server]` names one in its head.
            let name = section.trim_end_matches(']').rsplit('.').next().unwrap_or_default();
            found.extend((in_dependencies && forbidden(name, allowed)).then(|| name.to_string()));
        } else if in_dependencies {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default().trim_matches('"');
            found.extend(forbidden(name, allowed).then(|| name.to_string()));
        }
    }
    found
}

/// Every `.rs` file below a folder, in order.
pub fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn forbidden(name: &str, allowed: &[&str]) -> bool {
    name.starts_with("sss-") && !allowed.contains(&name)
}

fn height(floors: &[Floor], room: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.rooms.contains(&room))
}

/// `store/sqlite/mod.rs` is `[store, sqlite]`; `lib.rs` is empty.
pub(crate) fn module_of(within: &Path) -> Vec<String> {
    let stem = within.with_extension("");
    let mut parts: Vec<String> = stem.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match parts.last().map(String::as_str) {
        Some("mod") => drop(parts.pop()),
        Some("lib") if parts.len() == 1 => parts.clear(),
        _ => {}
    }
    parts
}

/// The first names behind `crate::` (or behind as many `super::` as lead to the crate's root), with their lines.
fn names(text: &str, depth: usize) -> Vec<(usize, String)> {
    let code: Vec<String> = text.lines().map(code_of).collect();
    let whole = code.join("\n");
    let mut found = Vec::new();
    for (at, prefix) in roots(&whole, depth) {
        let line = whole[..at].matches('\n').count() + 1;
        found.extend(first_names(&whole[at + prefix..]).into_iter().map(|name| (line, name)));
    }
    found.extend(room_crates(&whole));
    found
}

/// Where crates that are rooms are named, each as its room.
fn room_crates(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("sss_") {
        let inside_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let named = |path: &str| code[at..].strip_prefix(path).is_some_and(ends);
        let room = ROOM_CRATES.iter().find(|(path, _)| named(path));
        if let (false, Some((_, room))) = (inside_word, room) {
            found.push((code[..at].matches('\n').count() + 1, (*room).to_string()));
        }
    }
    found
}

/// A line without its comment and without what stands in string literals.
pub(crate) fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut chars = line.chars().peekable();
    let mut in_string = false;
    while let Some(c) = chars.next() {
        match (c, in_string) {
            ('\\', true) => drop(chars.next()),
            ('"', _) => in_string = !in_string,
            ('/', false) if chars.peek() == Some(&'/') => break,
            (_, false) => code.push(c),
            (_, true) => {}
        }
    }
    code
}

/// Where paths from the crate's root begin, with the length of what leads there.
fn roots(code: &str, depth: usize) -> Vec<(usize, usize)> {
    let standalone =
        |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'));
    let mut found: Vec<(usize, usize)> = code
        .match_indices("crate::")
        .filter(|(at, _)| standalone(*at))
        .map(|(at, word)| (at, word.len()))
        .collect();
    let climb = "super::".repeat(depth);
    if depth > 0 {
        for (at, _) in code.match_indices(&climb).filter(|(at, _)| standalone(*at)) {
            // An inline module is one deeper: there one more `super::` leads to the same place.
            let more =
                code[at + climb.len()..].split("super::").take_while(|between| between.is_empty()).count();
            let length = climb.len() + more * "super::".len();
            let target = first_names(&code[at + length..]);
            let known =
                |name: &String| [SERVER, ADMIN, CLIENT].iter().any(|floors| height(floors, name).is_some());
            if target.iter().any(known) {
                found.push((at, length));
            }
        }
    }
    found
}

/// `store::X` is `store`; `{store::X, vault}` is both.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(word(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(file: &str, text: &str) -> Vec<String> {
        check(Path::new(file), text, SERVER)
    }

    #[test]
    fn what_points_down_passes() {
        for (file, text) in [
            (
                "service/checkin.rs",
                "use sss_policy::decide;\nuse sss_vault::Vault; use crate::{store::{self, Stores}};",
            ),
            ("store/sqlite/names.rs", "use crate::store::model::Node; use sss_vault::sealed::KeyImage;"),
            ("store/mod.rs", "mod tests { use super::*; use super::memory::M; }"),
            ("config.rs", "fn f() -> crate::service::Settings {}"),
            ("run/compose.rs", "use crate::config::Config; use crate::tls::Acceptor;"),
            ("run/mod.rs", "use crate::{config, tls};"),
            ("store/mod.rs", "// use crate::service::Service;\nlet s = \"crate::service\";"),
            ("lib.rs", "pub mod policy;"),
            ("routes/mod.rs", "use my_crate::tls::X;"),
        ] {
            assert_eq!(server(file, text), Vec::<String>::new(), "{file}: {text}");
        }
    }

    #[test]
    fn what_points_up_or_sideways_is_found() {
        for (file, text, expected) in [
            ("store/mod.rs", "use crate::service::Service;", "`store` names `service` above it"),
            ("store/mod.rs", "use sss_vault::Vault;", "`store` names its sibling `vault`"),
            ("store/mod.rs", "use sss_vault::sealed_block;", "`store` names its sibling `vault`"),
            (
                "store/mod.rs",
                "use crate::{\n    store::model,\n    service::Service,\n};",
                "`store` names `service` above it",
            ),
            ("store/mod.rs", "fn f() { crate::routes::open() }", "`store` names `routes` above it"),
            ("routes/fs.rs", "use crate::tls::Peer;", "`routes` names `tls` above it"),
            ("tls/mod.rs", "use crate::config::Config;", "`tls` names `config` above it"),
            ("config.rs", "use crate::run::Advice;", "`config` names `run` above it"),
            ("service/mod.rs", "use super::routes::X;", "`service` names `routes` above it"),
            ("service/deep/er.rs", "use super::super::super::tls;", "`service` names `tls` above it"),
            (
                "store/mod.rs",
                "mod tests { use super::super::service::X; }",
                "`store` names `service` above it",
            ),
            ("service/mod.rs", "use crate::Thing;", "`crate::Thing` is no room"),
            ("cellar/mod.rs", "", "room `cellar` stands in no floor"),
        ] {
            let found = server(file, text);
            assert_eq!(found.len(), 1, "{file}: {text}: {found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn commands_name_each_other_and_not_the_command_line() {
        let admin = |file: &str, text: &str| check(Path::new(file), text, ADMIN);
        assert_eq!(
            admin("drill/mod.rs", "use crate::{backup, carve}; use sss_server::run;"),
            Vec::<String>::new()
        );
        assert_eq!(admin("backup.rs", "use crate::cli::Cli;"), ["line 1: `backup` names `cli` above it"]);
    }

    #[test]
    fn the_line_is_named() {
        let found = server("store/mod.rs", "\n\nuse crate::service::Service;\n");
        assert_eq!(found, ["line 3: `store` names `service` above it"]);
    }

    #[test]
    fn dependencies_on_the_wrong_crate_are_found_in_every_spelling() {
        for line in [
            "[dependencies]\nsss-server.workspace = true",
            "[dependencies]\nsss-server = { path = \"../server\" }",
            "[dev-dependencies]\nsss-server = \"1\"",
            "[dependencies.sss-server]\npath = \"../server\"",
            "[target.'cfg(unix)'.dependencies]\nsss-server = \"1\"",
        ] {
            assert_eq!(dependency_violations(line, &["sss-common"]), ["sss-server"], "{line}");
        }
        let fine =
            "[package]\nname = \"sss-server\"\n[dependencies]\nsss-common.workspace = true\nserde = \"1\"";
        assert_eq!(dependency_violations(fine, &["sss-common"]), Vec::<String>::new());
    }
}
