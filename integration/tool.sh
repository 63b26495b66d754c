#!/usr/bin/env bash
# tool.sh NAME VERSION ARGUMENT… : runs a cargo tool of exactly this version. The first time it is built from the Rust registry and kept
# in the user's cache; unoptimised, since it is run for seconds and would compile for minutes.
set -euo pipefail
name=$1 version=$2
shift 2

tools=${XDG_CACHE_HOME:-${HOME:?}/.cache}/3s/tools
root=$tools/$name-$version
if [ ! -x "$root/bin/$name" ]; then
    echo "installing $name $version, once, to $root" >&2
    mkdir -p "$tools"
    build=$(mktemp -d "$tools/build.XXXXXX")
    trap 'rm -rf "$build"' EXIT
    cargo install --quiet --locked --debug --root "$root" --target-dir "$build" --version "=$version" "$name" >&2
    rm -rf "$build"
    trap - EXIT
fi
PATH=$root/bin:$PATH exec cargo "${name#cargo-}" "$@"
