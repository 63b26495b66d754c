//! Transcripts in the documentation, read and replayed: what a page says happens is what happens.
//!
//! A fenced block marked `console` is one transcript on a store of its own. A line `alice$ COMMAND` runs in alice's
//! mount; the lines below it, up to the next command, are what it prints (both outputs together). `[..]` in
//! an expected line stands for any text within the line. A line `# …` is for the reader. `$ALICE` is alice's
//! mount, seen from any command; `$STORE` is the folder around the store, with the server's `data/` in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::Cmd;
use crate::mount::Mount;
use crate::store::Store;

/// A block of a page.
#[derive(Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The line of the page on which it begins.
    pub line: usize,
    /// Its commands in order.
    pub steps: Vec<Step>,
}

/// A command and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Who runs it.
    pub user: String,
    /// For bash.
    pub command: String,
    /// What is printed, line by line.
    pub expected: Vec<String>,
}

/// The `console` blocks of a Markdown page.
pub fn transcripts(page: &str) -> Vec<Transcript> {
    let mut found: Vec<Transcript> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        match (inside, line) {
            (false, "```console") => {
                inside = true;
                found.push(Transcript { line: number + 1, steps: Vec::new() });
            }
            (true, "```") => inside = false,
            (true, _) => found.last_mut().into_iter().for_each(|block| add(&mut block.steps, line)),
            (false, _) => {}
        }
    }
    found
}

fn add(steps: &mut Vec<Step>, line: &str) {
    let command = line.split_once("$ ").filter(|(user, _)| {
        !user.is_empty() && user.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    match (command, steps.last_mut()) {
        (Some((user, command)), _) => {
            steps.push(Step { user: user.into(), command: command.into(), expected: Vec::new() });
        }
        (None, _) if line.starts_with("# ") || line.is_empty() => {}
        (None, Some(step)) => step.expected.push(line.into()),
        (None, None) => panic!("a transcript begins with a command, not with {line:?}"),
    }
}

/// Runs a transcript on a fresh store; what differs, for a person, or `None`.
pub fn replay(transcript: &Transcript) -> Option<String> {
    let store = Store::start();
    let users: BTreeSet<&str> = transcript.steps.iter().map(|step| step.user.as_str()).collect();
    let mounts: BTreeMap<&str, Mount> = users.into_iter().map(|user| (user, store.mount(user))).collect();
    for step in &transcript.steps {
        let mount = &mounts[step.user.as_str()];
        // No `-e`: a transcript shows commands that fail, too.
        let bash = Cmd::new("bash").args(["-c", &format!("exec 2>&1\n{}", step.command)]).cwd(mount.root());
        let bash = bash.with_programs().env("STORE", store.path(""));
        let bash =
            mounts.iter().fold(bash, |bash, (user, mount)| bash.env(&user.to_uppercase(), mount.root()));
        let done = bash.run();
        let printed = done.out();
        let lines: Vec<&str> = printed.lines().collect();
        let same = lines.len() == step.expected.len()
            && lines.iter().zip(&step.expected).all(|(line, pattern)| matches(pattern, line));
        if !same {
            return Some(format!(
                "{}$ {}\nshould print:\n{}\nprinted:\n{printed}",
                step.user,
                step.command,
                step.expected.join("\n")
            ));
        }
    }
    None
}

/// Whether a line is what a pattern with `[..]` says.
pub fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once("[..]") {
        None => pattern == line,
        Some((head, tail)) => line.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read() {
        let page = "text\n```console\nalice$ echo a\na\n# a remark\nbob$ false\n```\n```sh\nx$ y\n```\n";
        let found = transcripts(page);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        let [first, second] = &found[0].steps[..] else { panic!("{found:?}") };
        assert_eq!(
            (first.user.as_str(), first.command.as_str(), first.expected.len()),
            ("alice", "echo a", 1)
        );
        assert_eq!((second.user.as_str(), second.expected.len()), ("bob", 0));
    }

    #[test]
    fn patterns() {
        for (pattern, line, fits) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a[..]c", "abbbc", true),
            ("a[..]c", "abbb", false),
            ("[..]: no", "bash: x: no", true),
            ("[..]b[..]", "abc", true),
            ("[..]", "", true),
        ] {
            assert_eq!(matches(pattern, line), fits, "{pattern} {line}");
        }
    }
}
