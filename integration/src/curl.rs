//! The HTTPS calls with nothing but curl and openssl.

use crate::command::{Cmd, bash};
use crate::store::Store;

/// A login as the README shows it: curl and openssl alone.
const LOGIN: &str = r#"
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
json='Content-Type: application/json'
call() { curl -sS --fail-with-body --max-time 20 --cacert $ID/ca.crt --cert $ID/client.crt --key $ID/client.key "$@"; }
challenge=$(call $URL/v1/challenge -H "$json" -d '{"uid": "alice"}' | field challenge)
statement="client1 as alice logs into the Server\nchallenge: $challenge"
signature=$(printf "$statement" | openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sign $ID/user.key | base64 -w0)
token=$(call $URL/v1/login -H "$json" -d "{\"uid\": \"alice\", \"statement\": \"$statement\", \"signature\": \"$signature\"}" | field token)
"#;

/// A script that begins logged in as alice: `call` is curl with her certificates, `$token` her session, `$URL` the server.
pub fn with_curl(store: &Store, script: &str) -> Cmd {
    bash(&format!("{LOGIN}{script}"))
        .env("ID", store.identity("alice"))
        .env("URL", format!("https://{}", store.addr()))
}
