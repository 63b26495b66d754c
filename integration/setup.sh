#!/usr/bin/env bash
# setup.sh TOOL… : makes sure that these tools are there. As root on Debian or Ubuntu it installs what is missing;
# otherwise it says what to install and ends with 1.
set -euo pipefail

package_of() {
    case $1 in
        cc) echo "gcc libc6-dev" ;;
        fusermount3) echo fuse3 ;;
        setfattr | getfattr) echo attr ;;
        pip) echo "python3-pip python3-venv" ;;
        pgrep) echo procps ;;
        runuser) echo util-linux ;;
        losetup) echo mount ;;
        mkfs.ext4) echo e2fsprogs ;;
        sshd) echo openssh-server ;;
        *) echo "$1" ;;
    esac
}

there() {
    case $1 in
        # A virtual environment can be made, or what would go into it is there already.
        pip) python3 -c 'import requests' 2>/dev/null || python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
    esac
}

missing=()
for tool in "$@"; do
    there "$tool" || missing+=($(package_of "$tool"))
done

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing: ${missing[*]}"
        log=$(mktemp)
        trap 'rm -f "$log"' EXIT
        export DEBIAN_FRONTEND=noninteractive
        if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
            cat "$log" >&2
            echo "setup: apt-get could not install: ${missing[*]}" >&2
            echo "  hint: install these packages by hand and try again" >&2
            exit 1
        fi
    else
        echo "setup: these packages are missing: ${missing[*]}" >&2
        echo "  hint: install them, on Debian and Ubuntu with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
fi

if ! command -v cargo >/dev/null; then
    echo "setup: cargo is missing" >&2
    echo "  hint: install Rust from https://rustup.rs and open a new shell" >&2
    exit 1
fi

for tool in "$@"; do
    [ "$tool" = fusermount3 ] || continue
    [ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
    if [ ! -e /dev/fuse ]; then
        echo "setup: /dev/fuse is not there, so nothing can be mounted" >&2
        echo "  hint: load the kernel module (modprobe fuse); a container needs --device /dev/fuse --cap-add SYS_ADMIN" >&2
        exit 1
    fi
    # fusermount3 opens it as the user who mounts. Distributions make it readable and writable for everyone; a
    # container may not.
    if [ "$(id -u)" = 0 ] && [ "$(stat -c %a /dev/fuse)" != 666 ]; then
        echo "letting every user open /dev/fuse, as distributions do"
        chmod 666 /dev/fuse
    fi
    if ! [ -r /dev/fuse ] || ! [ -w /dev/fuse ]; then
        echo "setup: you may not open /dev/fuse, so nothing can be mounted" >&2
        echo "  hint: ask root to run: chmod 666 /dev/fuse" >&2
        exit 1
    fi
done
