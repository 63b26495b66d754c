//! Extended attributes of files on a mount, and a refusal with the mount's own reason.

use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;

use sss_common::Advised;

use super::mountinfo::{self, Mounted};

/// Largest value that is asked for: the kernel's own limit.
const VALUE_MAX: usize = sss_common::limits::XATTR_VALUE_MAX;

/// Where a mount says why it refused.
const WHY: &str = "user.3s.why";

/// The mount that `file` lies in, or the advice that it lies in none.
pub fn mount_of(file: &Path) -> Result<Mounted, Advised> {
    mountinfo::around(&mountinfo::resolve(file))?.ok_or_else(|| {
        Advised::new(
            format!("{} is not on a 3S mount", file.display()),
            "name a file below a mountpoint; `3s status` lists the mounts",
        )
    })
}

/// An attribute's text; `None` when it is not set.
pub fn text(file: &Path, name: &str) -> Result<Option<String>, Advised> {
    match read(file, name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(refused(file, "cannot be read", error)),
    }
}

/// Sets an attribute; `doing` is for the error.
pub fn set(file: &Path, name: &str, value: &str, doing: &str) -> Result<(), Advised> {
    setxattr(file, name, value.as_bytes(), XattrFlags::empty()).map_err(|error| refused(file, doing, error))
}

/// Removes an attribute; `false` when it was not there.
pub fn remove(file: &Path, name: &str, doing: &str) -> Result<bool, Advised> {
    match removexattr(file, name) {
        Ok(()) => Ok(true),
        Err(Errno::NODATA) => Ok(false),
        Err(error) => Err(refused(file, doing, error)),
    }
}

/// The names of a file's attributes.
pub fn names(file: &Path) -> Result<Vec<String>, Advised> {
    let mut list = vec![0; VALUE_MAX];
    let length = listxattr(file, &mut list[..]).map_err(|error| refused(file, "cannot be listed", error))?;
    let names = list[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// Why the mount refused last, in its words.
pub fn why(file: &Path) -> Option<String> {
    let beside =
        file.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    read(file, WHY).or_else(|_| read(beside.unwrap_or(file), WHY)).ok().filter(|why| !why.is_empty())
}

/// An attribute's text, or the number of the refusal.
pub fn read(file: &Path, name: &str) -> Result<String, Errno> {
    let mut value = vec![0; VALUE_MAX];
    let length = getxattr(file, name, &mut value[..])?;
    Ok(String::from_utf8_lossy(&value[..length]).trim_end().to_owned())
}

/// The failure of a system call on `file`: the mount's reason, and what to do.
pub fn refused(file: &Path, doing: &str, error: Errno) -> Advised {
    let reason = why(file).map(|why| format!(": {why}")).unwrap_or_default();
    Advised::new(format!("{} {doing}: {}{reason}", file.display(), words(error)), hint(error))
}

/// The operating system's words without the number behind them.
fn words(error: Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn hint(error: Errno) -> &'static str {
    match error {
        Errno::NOENT => {
            "check the path; a document that nobody shares with you looks like one that is not there"
        }
        Errno::ACCESS | Errno::PERM => {
            "only the owner may do that; `3s info FILE` shows who owns it and your right"
        }
        Errno::INVAL => {
            "a grant names a user or ALL, a right (checkin, checkout, both) and an end like 50s, 2h or 7d"
        }
        Errno::KEYREVOKED | Errno::KEYEXPIRED => "the mount's session is over: unmount, and mount again",
        Errno::TIMEDOUT | Errno::NOTCONN => {
            "check the server and the network; `3s status` shows whether the mount answers"
        }
        Errno::OPNOTSUPP => "symbolic links and special files have no such attributes",
        _ => "`3s info FILE` and `3s status` show more; the mount's log has the cause",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_where_and_what_to_do() {
        let failure = refused(Path::new("/nowhere/f"), "cannot be shared", Errno::ACCESS);
        assert_eq!(failure.what, "/nowhere/f cannot be shared: Permission denied");
        assert!(failure.hint.contains("owner"));
    }

    #[test]
    fn a_file_elsewhere_is_not_on_a_mount() {
        let failure = mount_of(Path::new("/proc/self/status")).map(|mounted| mounted.point).err();
        assert!(failure.is_some_and(|failure| failure.what.contains("not on a 3S mount")));
    }
}
