#!/usr/bin/env bash
# The demo: a store, three users, one document, real tools. Ends with 0 only if every step did what it says.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' dim='' green='' red='' plain=''; fi
step=0
title() { step=$((step + 1)); printf '\n%s%d. %s%s\n' "$bold" "$step" "$*" "$plain"; }
good() { printf '   %sok%s %s\n' "$green" "$plain" "$*"; }
fail() { printf '\n%sThe demo failed:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }

# ---- What is needed -------------------------------------------------------------------------------------------------

title "Setting up (the first build compiles some 250 crates: about five minutes on two cores)"
integration/setup.sh cc fusermount3 setfattr getfattr
target=${CARGO_TARGET_DIR:-target}
# Just the three programs. The test, which is small, makes cargo choose the dependencies' features as `make test` does, so that
# this build serves both.
build=(cargo build --locked --workspace --bin 3s --bin 3s-ca --bin 3s-server --test layering)
if [ -t 2 ]; then
    "${build[@]}" # cargo shows how far it is
else
    log=$(mktemp)
    "${build[@]}" 2>&1 | tee "$log" | awk '/^ *Compiling/ && ++n % 25 == 0 { print "   compiled " n " crates"; fflush() }' ||
        { cat "$log" >&2; rm -f "$log"; fail "the programs could not be built"; }
    rm -f "$log"
fi
PATH=$(cd "$target/debug" && pwd):$PATH
good "3s, 3s-ca and 3s-server are built"

# ---- Cleaning up, whatever happens ----------------------------------------------------------------------------------

dir=$(mktemp -d "${TMPDIR:-/tmp}/3s-demo.XXXXXX")
export XDG_RUNTIME_DIR=$dir/run XDG_STATE_HOME=$dir/state XDG_CACHE_HOME=$dir/cache
mkdir -m 700 "$dir/run" "$dir/state" "$dir/cache"
server=''
mounted() { awk '{ print $5 }' /proc/self/mountinfo | grep -qxF "$1"; }
clean_up() {
    status=$?
    trap - EXIT INT TERM
    cd /
    for user in alice bob carol; do
        if mounted "$dir/$user"; then
            timeout 20 3s unmount "$dir/$user" >/dev/null 2>&1 || fusermount3 -uz "$dir/$user" >/dev/null 2>&1 || true
        fi
    done
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    if [ "$status" != 0 ] && [ -s "$dir/server.log" ]; then
        printf '\n--- the end of the server log\n' >&2
        tail -n 20 "$dir/server.log" >&2
    fi
    rm -rf --one-file-system "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- Showing commands -----------------------------------------------------------------------------------------------

# run WHO COMMAND: shows the command and what it prints; its output is in $out, its status in $code.
run() {
    printf '   %s%s$%s %s\n' "$dim" "$1" "$plain" "$2"
    local where=$dir
    [ "$1" = admin ] || where=$dir/$1
    code=0
    out=$(cd "$where" && timeout 60 bash -c "$2" 2>&1) || code=$?
    [ -z "$out" ] || printf '%s\n' "$out" | sed "s|$dir/||g; s/^/     /"
}
must() { run "$@"; [ "$code" = 0 ] || fail "\`$2\` should have worked for $1 and ended with $code"; }
must_say() { must "$1" "$2"; [[ $out == *"$3"* ]] || fail "\`$2\` should have printed \`$3\`"; }
must_be_refused() {
    run "$1" "$2"
    [ "$code" != 0 ] || fail "\`$2\` should have been refused to $1"
    [[ $out == *"$3"* ]] || fail "\`$2\` should have been refused with \`$3\`"
    good "refused, as it should be"
}

# ---- The demo -------------------------------------------------------------------------------------------------------

title "A certificate authority, a server, three users on two machines"
must admin "3s-ca init ca"
must admin "3s-ca issue-server ca --host 127.0.0.1 -o tls"
must admin "3s-server init data"
for who in alice:client1 'bob:client1 --shared' carol:client2; do
    user=${who%:*}
    must admin "3s-ca enroll ca --uid $user --node ${who#*:} -o id-$user"
    must admin "3s-server user add data $user id-$user/user.pub"
    # Carried by hand: with it a client checks the server's signatures.
    cp "$dir/data/server.pub" "$dir/id-$user/"
done

title "The server starts on a free port"
printf '   %sadmin$%s 3s-server run data --tls tls --listen 127.0.0.1:0\n' "$dim" "$plain"
(cd "$dir" && exec 3s-server run data --tls tls --listen 127.0.0.1:0 >server.out 2>server.log) &
server=$!
for _ in $(seq 300); do
    grep -q '^listening on ' "$dir/server.out" 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || fail "the server ended"
    sleep 0.1
done
address=$(sed -n 's/^listening on //p' "$dir/server.out" 2>/dev/null)
[ -n "$address" ] || fail "the server did not say where it listens within 30 seconds"
printf '     listening on %s\n' "$address"

title "Each user mounts the store"
for user in alice bob carol; do
    mkdir "$dir/$user"
    must admin "3s mount $user@$address $user --identity id-$user"
    mounted "$dir/$user" || fail "there is no mount on $user"
done

title "Alice copies a document in: saving it is a check-in"
printf 'The quarterly figures: 42\n' >"$dir/report.txt"
must alice "cp ../report.txt ."
must alice "ls -l"
must_say alice "cat report.txt" "figures: 42"

title "Bob sees nothing of it"
must_be_refused bob "cat @alice/report.txt" "No such file or directory"

title "Alice lets Bob check it out for five seconds"
must alice "setfattr -n user.3s.grant.bob -v checkout,5s report.txt"
must_say bob "cat @alice/report.txt" "figures: 42"
good "bob reads it"
must_say bob "ls -l @alice" "-r--------"
must_be_refused bob "echo changed >> @alice/report.txt" "Permission denied"
must_be_refused carol "cat @alice/report.txt" "No such file or directory"
must alice "getfattr -d report.txt"

title "The five seconds pass"
deadline=$((SECONDS + 30))
while (cd "$dir/bob" && cat @alice/report.txt >/dev/null 2>&1); do
    [ "$SECONDS" -lt "$deadline" ] || fail "bob could still read after 30 seconds"
    sleep 0.1
done
must_be_refused bob "cat @alice/report.txt" "Permission denied"
must bob "getfattr --only-values -n user.3s.why @alice/report.txt; echo"

title "An integrity document carries the server's signature"
must alice "touch contract.txt; setfattr -n user.3s.flag -v integrity contract.txt; echo 'We agree.' > contract.txt"
must admin "3s verify alice/contract.txt"
good "the signature is the server's, over this content"

title "Nothing of it lies in the clear on the server's disk"
must admin "! grep -raF -e 'figures: 42' -e 'We agree.' data"
good "grep finds nothing"

title "Alice deletes the document: its keys are destroyed"
must alice "rm report.txt"
must_be_refused alice "cat report.txt" "No such file or directory"
must_be_refused bob "cat @alice/report.txt" "No such file or directory"

title "Everyone unmounts: what is dirty is checked in, the sessions end"
for user in alice bob carol; do
    must admin "3s unmount $user"
    ! mounted "$dir/$user" || fail "the mount on $user is still there"
done

printf '\n%sThe demo did everything that it said.%s\n' "$bold" "$plain"
