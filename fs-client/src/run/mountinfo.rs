//! Which 3S mounts there are: `/proc/self/mountinfo`, see proc(5).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use sss_common::Advised;

use crate::remote::https::Target;

/// The file system type of our mounts.
pub const KIND: &str = "fuse.3s";

/// One of our mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The folder it is mounted on.
    pub point: PathBuf,
    /// Who, from where.
    pub target: Target,
    /// The user of this machine who mounted it.
    pub user: u32,
}

/// All 3S mounts that this process can see, the uppermost last.
pub fn all() -> Result<Vec<Mounted>, Advised> {
    Ok(parse(&read()?))
}

fn read() -> Result<Vec<u8>, Advised> {
    std::fs::read("/proc/self/mountinfo").map_err(|error| {
        Advised::new(
            format!("/proc/self/mountinfo cannot be read: {error}"),
            "3s needs Linux with /proc mounted",
        )
    })
}

/// The mount on exactly this folder.
pub fn on(point: &Path) -> Result<Option<Mounted>, Advised> {
    Ok(all()?.into_iter().rev().find(|mounted| mounted.point == point))
}

/// The mount on exactly this folder, if nothing else was mounted over it.
pub fn on_top(point: &Path) -> Result<Option<Mounted>, Advised> {
    Ok(uppermost(&read()?, point))
}

/// The mount that `path` (absolute) lies in.
pub fn around(path: &Path) -> Result<Option<Mounted>, Advised> {
    let mut around: Vec<_> = all()?.into_iter().filter(|mounted| path.starts_with(&mounted.point)).collect();
    around.sort_by_key(|mounted| mounted.point.as_os_str().len());
    Ok(around.pop())
}

/// `path` made absolute. Asks nothing of a mount that stands there itself, which might not answer.
pub fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let beside = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().ok().map(|parent| parent.join(name)),
        _ => None,
    };
    match beside {
        Some(beside) if matches!(on(&beside), Ok(Some(_))) => beside,
        _ => absolute.canonicalize().ok().or(beside).unwrap_or(absolute),
    }
}

fn parse(text: &[u8]) -> Vec<Mounted> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

fn uppermost(text: &[u8], point: &Path) -> Option<Mounted> {
    let point = point.as_os_str().as_bytes();
    let on_it =
        |line: &&[u8]| line.split(|&byte| byte == b' ').nth(4).is_some_and(|at| unescape(at) == point);
    text.split(|&byte| byte == b'\n').rfind(on_it).and_then(parse_line)
}

/// `36 35 98:0 /root /point options [tags…] - type source superoptions`
fn parse_line(line: &[u8]) -> Option<Mounted> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let dash = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
    let [kind, source, options, ..] = fields.get(dash + 1..)? else { return None };
    if *kind != KIND.as_bytes() {
        return None;
    }
    let options = std::str::from_utf8(options).ok()?;
    Some(Mounted {
        point: OsString::from_vec(unescape(fields.get(4)?)).into(),
        target: String::from_utf8(unescape(source)).ok()?.parse().ok()?,
        user: options.split(',').find_map(|option| option.strip_prefix("user_id="))?.parse().ok()?,
    })
}

/// Blanks, newlines and backslashes stand as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if byte == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw
90 27 0:50 / /mnt/my\\040store rw,nosuid,nodev shared:5 master:2 - fuse.3s alice@files.example.org:8443 rw,user_id=1000,group_id=1000
91 27 0:51 / /mnt/ssh rw - fuse.sshfs bob@host:/x rw,user_id=0
92 27 0:52 / /mnt/odd rw - fuse.3s somewhere rw,user_id=0
93 27 0:53 / /mnt/six rw - fuse.3s bob@[::1]:8443 rw,user_id=0,group_id=0
";

    #[test]
    fn ours_are_found() {
        let mounted = parse(SAMPLE);
        assert_eq!(
            mounted,
            [
                Mounted {
                    point: "/mnt/my store".into(),
                    target: "alice@files.example.org:8443".parse().unwrap(),
                    user: 1000,
                },
                Mounted { point: "/mnt/six".into(), target: "bob@[::1]:8443".parse().unwrap(), user: 0 },
            ]
        );
    }

    #[test]
    fn what_was_mounted_over_ours_is_not_ours() {
        let point = Path::new("/mnt/my store");
        assert_eq!(uppermost(SAMPLE, point).unwrap().user, 1000);
        let over = b"94 90 0:54 / /mnt/my\\040store rw - fuse.sshfs bob@host:/x rw,user_id=1000\n";
        assert_eq!(uppermost(&[SAMPLE, over].concat(), point), None);
        assert_eq!(uppermost(SAMPLE, Path::new("/mnt/ssh")), None);
        assert_eq!(uppermost(SAMPLE, Path::new("/mnt")), None);
    }

    #[test]
    fn paths_resolve_without_the_last_step() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink(real.join("a"), real.join("link")).unwrap();
        assert_eq!(resolve(&real.join("link")), real.join("a"));
        assert_eq!(resolve(&real.join("a/../a")), real.join("a"));
        assert_eq!(resolve(&real.join("link/missing")), real.join("a/missing"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = unescape(&bytes);
        }

        #[test]
        fn mountpoints_survive_the_kernels_escaping(point in "/[a-z \\\\#\t\nü]{0,20}") {
            let mut escaped = String::new();
            for c in point.chars() {
                match c {
                    ' ' | '\t' | '\n' | '\\' | '#' => escaped.push_str(&format!("\\{:03o}", c as u32)),
                    c => escaped.push(c),
                }
            }
            let line = format!("9 2 0:5 / {escaped} rw opt:1 - fuse.3s alice@h:1 rw,user_id=7,group_id=7");
            let mounted = parse(line.as_bytes());
            prop_assert_eq!(mounted.len(), 1);
            prop_assert_eq!(&mounted[0].point, Path::new(&point));
        }
    }
}
