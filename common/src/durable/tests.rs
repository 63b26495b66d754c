//! Which fsyncs happen is shown on a disk that loses what was not synced: `integration/tests/powercuts.rs`.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_file_has_its_content_and_mode_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    create(&at("a"), b"secret", Access::Secret).unwrap();
    create(&at("b"), b"public", Access::Public).unwrap();
    replace(&at("c"), b"new", Access::Secret).unwrap();
    replace(&at("b"), b"other", Access::Public).unwrap();
    InPlace::create(&at("d"), b"in place", Access::Secret).unwrap();
    assert_eq!(names(folder.path()), ["a", "b", "c", "d"]);
    let content = |name: &str| fs::read(at(name)).unwrap();
    assert_eq!((content("a"), mode(&at("a"))), (b"secret".to_vec(), 0o600));
    assert_eq!((content("c"), mode(&at("c"))), (b"new".to_vec(), 0o600));
    assert_eq!((content("d"), mode(&at("d"))), (b"in place".to_vec(), 0o600));
    // Whatever umask the tests run with only takes away.
    assert_eq!((content("b"), mode(&at("b")) & !0o044), (b"other".to_vec(), 0o600));
}

#[test]
fn a_secret_is_private_from_its_first_byte_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let mut file = NewFile::beside(&path, Access::Secret).unwrap();
    file.write(b"secret").unwrap();
    let [temporary] = &names(folder.path())[..] else { panic!("one file") };
    assert!(temporary.starts_with(".key.") && temporary.ends_with(".tmp"), "{temporary}");
    assert_eq!(mode(&folder.path().join(temporary)), 0o600);
    let staged = file.sync().unwrap();
    assert_eq!(mode(&staged.temporary), 0o600);
}

#[test]
fn what_is_given_up_half_way_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"old").unwrap();
    let mut file = NewFile::beside(&path, Access::Secret).unwrap();
    file.write(b"ne").unwrap();
    drop(file);
    drop(Staged::of(&path, b"new", Access::Secret).unwrap());
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_failed_step_names_the_file_and_leaves_no_temporary() {
    let folder = tempfile::tempdir().unwrap();
    // A folder cannot be replaced by a file.
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("inside"), b"").unwrap();
    let failed = replace(&taken, b"new", Access::Secret).unwrap_err();
    assert_eq!((failed.doing, &failed.path), ("write", &taken));
    assert_eq!(names(folder.path()), ["taken"]);
    assert_eq!(names(&taken), ["inside"]);

    let nowhere = folder.path().join("none/file");
    for failed in [
        replace(&nowhere, b"", Access::Secret).unwrap_err(),
        create(&nowhere, b"", Access::Secret).unwrap_err(),
        InPlace::create(&nowhere, b"", Access::Secret).unwrap_err(),
        rename(&taken, &nowhere).unwrap_err(),
    ] {
        let text = failed.to_string();
        assert!(text.starts_with(&format!("cannot write {}: ", nowhere.display())), "{text}");
        let error = io::Error::from(failed);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::NotFound, text));
    }
    assert_eq!(sync_folder_of(&nowhere).unwrap_err().path, folder.path().join("none"));
}

#[test]
fn a_new_file_never_replaces_one_that_came_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let staged = Staged::of(&path, b"new", Access::Secret).unwrap();
    fs::write(&path, b"old").unwrap();
    let exists = |result: Result<()>| assert_eq!(result.unwrap_err().cause.kind(), ErrorKind::AlreadyExists);
    exists(staged.create().map(drop));
    exists(create(&path, b"new", Access::Secret));
    exists(InPlace::create(&path, b"new", Access::Secret));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["key"]);
    // A link that leads nowhere has the name as well.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    exists(create(&link, b"new", Access::Secret));
    exists(InPlace::create(&link, b"new", Access::Secret));
}

#[test]
fn a_temporary_with_a_name_stays_after_a_failure_and_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let (path, temporary) = (folder.path().join("keyring"), folder.path().join("keyring.new"));
    let begin = |bytes: &[u8]| {
        let mut file = NewFile::named(&temporary, &path, Access::Secret).unwrap();
        file.write(bytes).unwrap();
        file
    };
    drop(begin(b"half"));
    assert_eq!((fs::read(&temporary).unwrap(), mode(&temporary)), (b"half".to_vec(), 0o600));
    drop(begin(b"whole").sync().unwrap());
    assert_eq!(names(folder.path()), ["keyring.new"]);
    begin(b"whole").sync().unwrap().replace().unwrap().settle().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    assert!(begin(b"other").sync().unwrap().create().is_err());
    assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"whole".to_vec(), 2));
}

#[test]
fn a_place_is_reserved_before_it_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipt");
    let mut reserved = InPlace::make(&path, Access::Secret).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(reserved.path())), (Vec::new(), 0o600));
    reserved.fill(b"text").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"text");
}

#[test]
fn names_without_a_folder_are_in_this_one() {
    assert_eq!(folder_of(Path::new("file")), Path::new("."));
    assert_eq!(folder_of(Path::new("/file")), Path::new("/"));
    assert_eq!(folder_of(Path::new("a/file")), Path::new("a"));
}
