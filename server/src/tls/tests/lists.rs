//! Revocation lists: which count, and which never come back.

use super::*;

#[tokio::test]
async fn an_outdated_crl_still_counts_and_a_missing_one_revokes_nothing() {
    let authority = Authority::new("Test CA");
    let dir = tempfile::tempdir().unwrap();
    authority.write_tls_dir(dir.path(), &authority.issue("server", 100), &[]);
    std::fs::write(dir.path().join("ca.crl"), authority.crl(&[5], 2024)).unwrap();
    assert_eq!(load(&dir).unwrap().current().revoked.len(), 1);
    std::fs::remove_file(dir.path().join("ca.crl")).unwrap();
    std::fs::remove_file(dir.path().join("lists")).unwrap();
    assert_eq!(load(&dir).unwrap().current().revoked.len(), 0, "to who never saw one");
}

#[tokio::test]
async fn a_list_from_before_is_taken_up_neither_at_a_reload_nor_at_the_next_start() {
    let authority = Authority::new("Test CA");
    let dir = tempfile::tempdir().unwrap();
    authority.write_tls_dir(dir.path(), &authority.issue("server", 100), &[]);
    let crl = dir.path().join("ca.crl");
    let put = |number: u64| std::fs::write(&crl, authority.numbered_crl(number, &[7], 2099)).unwrap();
    put(300);
    let tls = load(&dir).unwrap();
    put(299);
    let words = |outcome: Result<(), TlsError>| outcome.unwrap_err().to_string();
    for refused in [words(tls.reload()), words(load(&dir).map(drop))] {
        assert!(refused.contains("older than the list that was in force"), "{refused}");
        assert_eq!(refused.lines().count(), 2, "{refused}");
    }
    put(300);
    tls.reload().unwrap();
    put(301);
    tls.reload().unwrap();
    put(300);
    assert!(tls.reload().is_err());
    std::fs::remove_file(&crl).unwrap();
    for refused in [words(tls.reload()), words(load(&dir).map(drop))] {
        assert!(refused.contains("was there and is gone"), "{refused}");
    }
    put(301);
    load(&dir).unwrap();

    // Another authority's lists begin anew.
    let other = Authority::new("Test CA");
    other.write_tls_dir(dir.path(), &other.issue("server", 100), &[]);
    load(&dir).unwrap();
    std::fs::write(dir.path().join("lists"), "damaged").unwrap();
    assert!(words(load(&dir).map(drop)).contains("mend or remove"));
}
