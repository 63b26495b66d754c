//! The command line of `mount.3s`.

use std::ffi::OsString;

use sss_common::Advised;

use super::MountArgs;
use crate::config::Options;

/// What mount(8) wants of `mount.3s`.
#[derive(Debug)]
pub enum Helper {
    /// A mount.
    Mount(MountArgs),
    /// `-f`: everything but the mount itself.
    Fake,
}

/// Reads `mount.3s SPEC DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS]`, as mount(8) calls its helpers.
pub fn helper(args: impl Iterator<Item = OsString>) -> Result<Helper, Advised> {
    let usage =
        |what: String| Advised::new(what, "mount.3s UID@HOST:PORT DIR [-sfnv] [-o identity=ID_DIR,…]");
    let mut places = Vec::new();
    let (mut sloppy, mut fake, mut given) = (false, false, Vec::new());
    let mut args = args;
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        match text.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            None => places.push(arg),
            Some(letters) => {
                for (at, letter) in letters.char_indices() {
                    match letter {
                        's' => sloppy = true,
                        'f' => fake = true,
                        'n' | 'v' | 'w' => {}
                        'r' => given.push("ro".to_owned()),
                        'o' | 't' | 'N' => {
                            let attached = &letters[at + 1..];
                            let value = match attached.is_empty() {
                                false => attached.to_owned(),
                                true => args
                                    .next()
                                    .ok_or_else(|| usage(format!("-{letter} has no value")))?
                                    .to_string_lossy()
                                    .into_owned(),
                            };
                            given.extend((letter == 'o').then_some(value));
                            break;
                        }
                        _ => return Err(usage(format!("-{letter} is not known"))),
                    }
                }
            }
        }
    }
    let [target, mountpoint] = <[OsString; 2]>::try_from(places).map_err(|places| {
        usage(format!("a source and a folder are needed, and {} were given", places.len()))
    })?;
    let target = target.to_string_lossy().parse().map_err(|error| usage(format!("{error}")))?;
    let mut options = Options::default();
    given.iter().try_for_each(|text| options.add(text, sloppy))?;
    if fake {
        return Ok(Helper::Fake);
    }
    Ok(Helper::Mount(MountArgs {
        target,
        mountpoint: mountpoint.into(),
        identity: None,
        foreground: false,
        options: vec![options.to_string()],
        daemon_child: false,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn help_of(words: &[&str]) -> Result<Helper, Advised> {
        helper(words.iter().map(OsString::from))
    }

    #[test]
    fn mount_calls_its_helper_in_many_ways() {
        for words in [
            &["alice@h:1", "/mnt", "-o", "rw,identity=/id"][..],
            &["alice@h:1", "/mnt", "-sv", "-o", "rw,identity=/id,bogus"],
            &["alice@h:1", "/mnt", "-n", "-t", "3s", "-orw,identity=/id"],
        ] {
            let Helper::Mount(args) = help_of(words).unwrap() else { panic!("{words:?}") };
            assert_eq!(args.target.to_string(), "alice@h:1");
            assert_eq!(args.all_options().unwrap().identity, Some("/id".into()));
        }
        assert!(matches!(help_of(&["alice@h:1", "/mnt", "-f"]), Ok(Helper::Fake)));
        for words in
            [&["alice@h:1"][..], &["h:1", "/mnt"], &["alice@h:1", "/mnt", "-o"], &["alice@h:1", "/m", "-q"]]
        {
            assert!(help_of(words).is_err(), "{words:?}");
        }
        assert!(help_of(&["alice@h:1", "/mnt", "-o", "bogus"]).is_err());
    }
}
