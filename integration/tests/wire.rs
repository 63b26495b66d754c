//! The wire, spoken by curl, openssl and Python `requests`.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use sss_integration::binaries::{folder, workspace};
use sss_integration::{Cmd, Store, bash, eventually, with_curl};

/// A Python with `requests`: the system's, or one in a virtual environment beside the binaries.
fn python() -> PathBuf {
    if Cmd::new("python3").args(["-c", "import requests"]).run().success() {
        return "python3".into();
    }
    let venv = folder().join("3s-venv");
    let python = venv.join("bin/python");
    if !Cmd::new("sh").args(["-c", "\"$0\" -c 'import requests'"]).arg(&python).run().success() {
        Cmd::new("python3").args(["-m", "venv"]).arg(&venv).ok();
        Cmd::new(&python)
            .args(["-m", "pip", "install", "-q", "requests"])
            .within(Duration::from_secs(300))
            .ok();
    }
    python
}

#[test]
fn python_requests_speaks_it() {
    let store = Store::with().redirect().start();
    Cmd::new(python())
        .arg(workspace().join("integration/wire/test_wire.py"))
        .env("URL", format!("https://{}", store.addr()))
        .env("REDIRECT", format!("http://{}", store.redirect_addr()))
        .env("IDS", store.path("ids"))
        .within(Duration::from_secs(300))
        .ok();
}

#[test]
fn curl_and_openssl_log_in_and_use_documents() {
    let store = Store::start();
    let done = with_curl(
        &store,
        r#"
        auth="Authorization: Bearer $token"
        printf hello | call -H "$auth" -T - "$URL/v1/documents/@alice/report.pdf"; echo
        call -H "$auth" "$URL/v1/documents/@alice/report.pdf"; echo
        call -H "$auth" -r 1-3 "$URL/v1/documents/@alice/report.pdf"; echo
        call -H "$auth" -I "$URL/v1/documents/@alice/report.pdf" | tr -d '\r' | grep -i '^etag'
        "#,
    )
    .ok();
    let out = done.out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[1..3], ["hello", "ell"], "{}", done.account());
    assert_eq!(serde_json::from_str::<Value>(lines[0]).unwrap()["version"], 1);
    assert_eq!(lines[3].to_lowercase(), "etag: \"1\"");
}

#[test]
fn what_curl_puts_the_mount_shows_and_the_other_way() {
    let store = Store::start();
    let bob = store.mount("bob");
    with_curl(
        &store,
        r#"
        auth="Authorization: Bearer $token"
        printf 'from curl' | call -H "$auth" -T - "$URL/v1/documents/@alice/f"
        call -H "$auth" -X PUT -H "$json" -d '{"grantee": "bob", "right": "both", "seconds": 600}' "$URL/v1/grants/@alice/f"
        "#,
    )
    .ok();
    assert_eq!(bob.read("@alice/f"), b"from curl");
    bob.write("@alice/f", "from the mount");
    let done =
        with_curl(&store, r#"call -H "Authorization: Bearer $token" "$URL/v1/documents/@alice/f""#).ok();
    assert_eq!(done.out(), "from the mount");
}

#[test]
fn tls_is_1_3_and_both_sides_present_certificates() {
    let store = Store::start();
    let health = format!("https://{}/v1/health", store.addr());
    store.curl("alice").args(["--fail", &health]).ok();
    store.curl("alice").args(["--tls-max", "1.2", &health]).fails();
    Cmd::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(store.identity("alice").join("ca.crt"))
        .arg(&health)
        .fails();
    // Not our root: the client refuses the server.
    Cmd::new("curl").args(["-sS", "--max-time", "20", &health]).fails();
}

#[test]
fn a_server_certificate_is_no_client_certificate() {
    let store = Store::start();
    let health = format!("https://{}/v1/health", store.addr());
    Cmd::new("curl")
        .args(["-sS", "--fail", "--max-time", "20", "--cacert"])
        .arg(store.path("ca/ca.crt"))
        .arg("--cert")
        .arg(store.path("tls/server.crt"))
        .arg("--key")
        .arg(store.path("tls/server.key"))
        .arg(&health)
        .fails();
}

#[test]
fn a_revoked_certificate_is_refused_after_sighup() {
    let store = Store::start();
    let health = format!("https://{}/v1/health", store.addr());
    store.curl("bob").args(["--fail", &health]).ok();
    store
        .tool("3s-ca")
        .arg("revoke")
        .arg(store.path("ca"))
        .arg(store.identity("bob").join("client.crt"))
        .ok();
    Cmd::new("cp").arg(store.path("ca/ca.crl")).arg(store.path("tls/ca.crl")).ok();
    store.signal_server(Signal::HUP);
    eventually(Duration::from_secs(20), "bob's certificate is refused", || {
        !store.curl("bob").args(["--fail", &health]).run().success()
    });
    store.curl("alice").args(["--fail", &health]).ok();
}

#[test]
fn openssl_reads_what_the_authority_wrote() {
    let store = Store::start();
    bash(
        "openssl verify -CAfile ca/ca.crt -purpose sslserver tls/server.crt
         openssl verify -CAfile ca/ca.crt -purpose sslclient ids/alice/client.crt
         openssl crl -in ca/ca.crl -CAfile ca/ca.crt -noout
         openssl rsa -in ids/alice/user.key -check -noout
         openssl rsa -pubin -in data/server.pub -noout",
    )
    .cwd(store.path(""))
    .ok();
}

#[test]
fn the_signature_of_a_version_is_openssls_too() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("touch f; setfattr -n user.3s.flag -v integrity f; echo signed > f");
    alice
        .script(
            "getfattr --only-values -n user.3s.record f | base64 -d > ../record
             getfattr --only-values -n user.3s.signature f | base64 -d > ../signature
             openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify \"$PUB\" -signature ../signature ../record
             echo >> ../record
             ! openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify \"$PUB\" -signature ../signature ../record",
        )
        .env("PUB", store.path("data/server.pub"))
        .ok();
}
