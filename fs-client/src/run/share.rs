//! `3s grant`, `3s revoke`, `3s info`: a mount's extended attributes in words.

use std::path::Path;

use sss_common::Advised;
use sss_common::say;

use super::mountinfo;
use super::xattr;
use crate::cli::{FileArgs, GrantArgs, GrantEnd, RevokeArgs};

const GRANT: &str = "user.3s.grant.";

/// Sets a grant and shows it as the server keeps it.
pub fn grant(args: &GrantArgs) -> Result<(), Advised> {
    xattr::mount_of(&args.file)?;
    let name = format!("{GRANT}{}", args.grantee);
    let GrantEnd(when) = &args.when;
    xattr::set(&args.file, &name, &format!("{},{when}", args.right), "cannot be shared")?;
    let kept = xattr::text(&args.file, &name)?.unwrap_or_else(|| format!("{},{when}", args.right));
    say!("{}: {}", args.file.display(), described(args.grantee.to_string().as_str(), &kept));
    Ok(())
}

/// Takes a grant back.
pub fn revoke(args: &RevokeArgs) -> Result<(), Advised> {
    xattr::mount_of(&args.file)?;
    let shown = args.file.display();
    match xattr::remove(&args.file, &format!("{GRANT}{}", args.grantee), "keeps its grant")? {
        true => {
            say!("{shown}: {} has no grant of its own here any more", args.grantee);
            Ok(())
        }
        false => Err(Advised::new(
            format!("{shown} has no grant for {}", args.grantee),
            "`3s info FILE` lists the grants; one on an enclosing folder is taken back there",
        )),
    }
}

/// Shows what the mount knows about a file.
pub fn info(args: &FileArgs) -> Result<(), Advised> {
    let file = &args.file;
    let mounted = xattr::mount_of(file)?;
    let inside = mountinfo::resolve(file);
    let inside = inside.strip_prefix(&mounted.point).unwrap_or(&inside);
    let mut lines = vec![format!("path:      {}", document_path(mounted.target.uid.as_str(), inside))];
    for name in ["owner", "author", "version", "flag", "right"] {
        if let Some(value) = xattr::text(file, &format!("user.3s.{name}"))? {
            lines.push(format!("{:<10} {value}", format!("{name}:")));
        }
    }
    let facts = lines.len();
    for name in xattr::names(file)? {
        let Some(grantee) = name.strip_prefix(GRANT) else { continue };
        if let Some(value) = xattr::text(file, &name)? {
            lines.push(format!("grant:     {}", described(grantee, &value)));
        }
    }
    if lines.len() == facts {
        lines.push("grant:     none on this very file".into());
    }
    say!("{}", lines.join("\n"));
    Ok(())
}

/// `checkout,2026-11-22T15:04:05Z` in words.
fn described(grantee: &str, value: &str) -> String {
    match value.split_once(',') {
        Some((right, until)) if until.contains('T') => format!("{grantee} may {right} until {until}"),
        Some((right, duration)) => format!("{grantee} may {right} for {duration}"),
        None => format!("{grantee} may {value}"),
    }
}

/// `@owner/path`, the same for everyone, of a path inside a mount of `uid`.
fn document_path(uid: &str, inside: &Path) -> String {
    let shown = inside.to_string_lossy();
    match (shown.is_empty(), shown.starts_with('@')) {
        (true, _) => format!("@{uid}"),
        (false, true) => shown.into_owned(),
        (false, false) => format!("@{uid}/{shown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_grants_and_paths() {
        let until = "2026-11-22T15:04:05Z";
        assert_eq!(described("bob", &format!("checkout,{until}")), format!("bob may checkout until {until}"));
        assert_eq!(described("ALL", "both,50s"), "ALL may both for 50s");
        assert_eq!(document_path("alice", Path::new("a/b")), "@alice/a/b");
        assert_eq!(document_path("alice", Path::new("@bob/b")), "@bob/b");
        assert_eq!(document_path("alice", Path::new("")), "@alice");
    }
}
