//! `-o` options: ours, and the generic ones of mount(8) that stand in an fstab line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sss_common::{Advised, Flag};

use crate::remote::https::TIMEOUT;

/// The options that a refused one is answered with.
pub const KNOWN: &str = "identity=ID_DIR, flag=confidentiality|integrity, ro, rw, allow_other, follow_symlinks, timeout=SECONDS (1 to 600), \
     log=FILE|none, memory=MIB (16 to 65536), noexec, noatime";

/// A mount's options. Later ones replace earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whose identity; `--identity` says the same.
    pub identity: Option<PathBuf>,
    /// What new documents get where their folder does not say.
    pub flag: Option<Flag>,
    /// Nothing can be changed through this mount.
    pub read_only: bool,
    /// Other users of this machine may use the mount as far as mode bits go; grants stay the mounting user's.
    pub allow_other: bool,
    /// Symbolic links that others made lead out of the mount, too.
    pub follow_symlinks: bool,
    /// No program runs from the mount.
    pub no_exec: bool,
    /// Access times are not kept (they never are; the kernel is told).
    pub no_atime: bool,
    /// How long a call to the server may take.
    pub timeout: Option<Duration>,
    /// Where a daemon's log goes.
    pub log: Option<Log>,
    /// Memory for what is being written, in MiB.
    pub memory_mib: Option<u64>,
}

/// Where a daemon's log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nowhere.
    None,
    /// To the end of this file.
    File(PathBuf),
}

impl Options {
    /// How long a call to the server may take.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// Takes one `-o` argument: options between commas; a comma or backslash in a value stands behind a
    /// backslash. `sloppy` (mount's `-s`) passes over what is not known.
    pub fn add(&mut self, text: &str, sloppy: bool) -> Result<(), Advised> {
        split(text)
            .iter()
            .filter(|option| !option.is_empty())
            .try_for_each(|option| self.add_one(option, sloppy))
    }

    fn add_one(&mut self, option: &str, sloppy: bool) -> Result<(), Advised> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value) {
            ("identity", Some(dir)) if !dir.is_empty() => self.identity = Some(dir.into()),
            ("flag", Some(flag)) => {
                self.flag = Some(flag.parse().map_err(|reason| wrong(option, &format!("{reason}")))?);
            }
            ("ro", None) => self.read_only = true,
            ("rw", None) => self.read_only = false,
            ("allow_other", None) => self.allow_other = true,
            ("follow_symlinks", None) => self.follow_symlinks = true,
            ("noexec", None) => self.no_exec = true,
            ("exec", None) => self.no_exec = false,
            ("noatime", None) => self.no_atime = true,
            ("atime", None) => self.no_atime = false,
            ("timeout", Some(seconds)) => {
                let seconds = number(option, seconds, 1, 600, "seconds")?;
                self.timeout = Some(Duration::from_secs(seconds));
            }
            ("memory", Some(mib)) => self.memory_mib = Some(number(option, mib, 16, 65_536, "MiB")?),
            ("log", Some("none")) => self.log = Some(Log::None),
            ("log", Some(file)) if !file.is_empty() => self.log = Some(Log::File(file.into())),
            _ if sloppy || is_generic(name) => {}
            _ => {
                return Err(Advised::new(
                    format!("the mount option `{option}` is not known"),
                    format!("known are {KNOWN}"),
                ));
            }
        }
        Ok(())
    }
}

/// Options that speak to mount(8), systemd or the boot scripts, and those that every FUSE mount has anyway.
fn is_generic(name: &str) -> bool {
    const GENERIC: &[&str] = &[
        "defaults",
        "auto",
        "noauto",
        "user",
        "nouser",
        "users",
        "nousers",
        "owner",
        "noowner",
        "group",
        "nogroup",
        "_netdev",
        "nofail",
        "nosuid",
        "nodev",
        "relatime",
        "norelatime",
        "async",
        "comment",
        "nodiratime",
        "uhelper",
        "helper",
    ];
    GENERIC.contains(&name) || name.starts_with("x-") || name.starts_with("X-")
}

fn number(option: &str, text: &str, least: u64, most: u64, unit: &str) -> Result<u64, Advised> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(wrong(option, &format!("it takes {least} to {most} {unit}"))),
    }
}

fn wrong(option: &str, why: &str) -> Advised {
    Advised::new(format!("the mount option `{option}` cannot be: {why}"), format!("known are {KNOWN}"))
}

fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let last = parts.len() - 1;
        match c {
            ',' => parts.push(String::new()),
            '\\' => parts[last].extend(chars.next()),
            c => parts[last].push(c),
        }
    }
    parts
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,")
}

/// As one `-o` argument that [`Options::add`] reads back.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![if self.read_only { "ro" } else { "rw" }.to_owned()];
        parts.extend(self.identity.iter().map(|dir| format!("identity={}", escape(&dir.to_string_lossy()))));
        parts.extend(self.flag.iter().map(|flag| format!("flag={flag}")));
        parts.extend(self.allow_other.then(|| "allow_other".to_owned()));
        parts.extend(self.follow_symlinks.then(|| "follow_symlinks".to_owned()));
        parts.extend(self.no_exec.then(|| "noexec".to_owned()));
        parts.extend(self.no_atime.then(|| "noatime".to_owned()));
        parts.extend(self.timeout.iter().map(|timeout| format!("timeout={}", timeout.as_secs())));
        parts.extend(self.log.iter().map(|log| match log {
            Log::None => "log=none".to_owned(),
            Log::File(file) => format!("log={}", escape(&file.to_string_lossy())),
        }));
        parts.extend(self.memory_mib.iter().map(|mib| format!("memory={mib}")));
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<Options, Advised> {
        let mut options = Options::default();
        options.add(text, false).map(|()| options)
    }

    #[test]
    fn an_fstab_line() {
        let options = parsed(
            "rw,noauto,user,_netdev,nofail,x-systemd.automount,nosuid,nodev,noexec,identity=/etc/3s/alice,\
             flag=integrity,timeout=5,memory=64,log=/var/log/3s.log,allow_other",
        )
        .unwrap();
        assert_eq!(
            options,
            Options {
                identity: Some("/etc/3s/alice".into()),
                flag: Some(Flag::Integrity),
                allow_other: true,
                no_exec: true,
                timeout: Some(Duration::from_secs(5)),
                log: Some(Log::File("/var/log/3s.log".into())),
                memory_mib: Some(64),
                ..Options::default()
            }
        );
    }

    #[test]
    fn what_is_not_known_is_answered_with_what_is() {
        for bad in ["bogus", "identity", "identity=", "ro=1", "flag", "log="] {
            let failure = parsed(bad).unwrap_err();
            assert!(failure.what.contains(bad) && failure.hint.contains(KNOWN), "{failure}");
        }
        let mut sloppy = Options::default();
        assert_eq!(sloppy.add("bogus,ro", true), Ok(()));
        assert!(sloppy.read_only);
    }

    #[test]
    fn numbers_have_limits() {
        for (good, bad) in [
            ("timeout=1", "timeout=0"),
            ("timeout=600", "timeout=601"),
            ("memory=16", "memory=15"),
            ("memory=65536", "memory=65537"),
            ("flag=integrity", "flag=secret"),
        ] {
            assert!(parsed(good).is_ok(), "{good}");
            assert!(parsed(bad).unwrap_err().what.contains("cannot be"), "{bad}");
        }
    }

    #[test]
    fn the_last_one_counts() {
        assert!(!parsed("ro,rw").unwrap().read_only);
        assert!(parsed("rw,ro").unwrap().read_only);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = parsed(&text);
        }

        #[test]
        fn what_is_shown_is_read_back(
            identity in proptest::option::of("/[a-z,\\\\= ü]{0,20}"),
            log in proptest::option::of("/[a-z,\\\\=]{0,20}"),
            integrity in proptest::option::of(any::<bool>()),
            flags in any::<[bool; 5]>(),
            timeout in proptest::option::of(1u64..=600),
            memory_mib in proptest::option::of(16u64..=65_536),
        ) {
            let flag = integrity.map(|yes| if yes { Flag::Integrity } else { Flag::Confidentiality });
            let [read_only, allow_other, follow_symlinks, no_exec, no_atime] = flags;
            let options = Options {
                identity: identity.map(Into::into),
                flag,
                read_only,
                allow_other,
                follow_symlinks,
                no_exec,
                no_atime,
                timeout: timeout.map(Duration::from_secs),
                log: log.map(|file| Log::File(file.into())),
                memory_mib,
            };
            prop_assert_eq!(parsed(&options.to_string()).unwrap(), options);
        }
    }
}
