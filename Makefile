# `make demo` and `make test` are all that a fresh machine with a Rust toolchain needs.

CARGO ?= cargo
TEST_TOOLS = cc mkfs.ext4 losetup fusermount3 setfattr getfattr rsync vim openssl curl python3 pip git pgrep runuser sqlite3 mandoc
# What only `make check` needs, once, in the user's cache.
CARGO_DENY = cargo-deny 0.20.2
CARGO_MACHETE = cargo-machete 0.9.2

target := $(abspath $(or $(CARGO_TARGET_DIR),target))
# The programs, with the dependencies' features as the tests choose them: otherwise both would build every dependency in turn.
programs := $(CARGO) build --locked --workspace --bins --test layering

.PHONY: help demo build test soak check doc unused fmt bench bench-erase deny man

help:
	@echo "make demo    a store, three users, one document: shows what 3S does and cleans up"
	@echo "make test    all tests, with real mounts and real tools"
	@echo "make soak    fresh sequences on a model and the whole system (MINUTES=60)"
	@echo "make check   what CI runs: formatting, clippy, documentation, dependencies, all tests"
	@echo "make bench   measures against a plain folder and sshfs (BENCH='--rounds 1 --size 256')"
	@echo "make bench-erase  what erasing a key costs, by the number of keys (BENCH='--keys 1000,10000')"
	@echo "make build   release binaries in target/release"
	@echo "make man     man pages and completions in target/man and target/completions"
	@echo "make deny    licences and advisories of the dependencies"

demo:
	@integration/demo.sh

build:
	$(CARGO) build --locked --release --bins

# nextest, where it is installed, runs the tests of different crates side by side. It has a process for each test, so the programs are
# built before.
test:
	@integration/setup.sh $(TEST_TOOLS)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then set -ex; \
	    $(programs); \
	    SSS_BIN_DIR=$(target)/debug $(CARGO) nextest run --locked --workspace; \
	else set -x; \
	    $(CARGO) test --locked --workspace; \
	fi

soak:
	SSS_SOAK_MINUTES=$(or $(MINUTES),60) $(CARGO) test --locked -p sss-model --test soak -- --ignored --nocapture

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(MAKE) --no-print-directory doc unused deny
	$(MAKE) --no-print-directory test

doc:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --locked --workspace --no-deps --lib --document-private-items

unused:
	@integration/tool.sh $(CARGO_MACHETE)

# Advisories only where their database can be had; the rest needs no network.
deny:
	@integration/tool.sh $(CARGO_DENY) --locked check --hide-inclusion-graph bans licenses sources
	@if timeout 30 integration/tool.sh $(CARGO_DENY) --locked fetch db >/dev/null 2>&1; then \
	    integration/tool.sh $(CARGO_DENY) --locked check --hide-inclusion-graph --disable-fetch advisories; \
	else \
	    echo "deny: NOT CHECKED for advisories: their database cannot be reached from here" >&2; \
	fi

man:
	@$(CARGO) run --locked --quiet -p sss-integration --example man -- $(target)

fmt:
	$(CARGO) fmt --all

bench:
	@integration/setup.sh cc fusermount3
	$(CARGO) build --locked --release --bins
	$(CARGO) run --locked --release --quiet --bin 3s-bench -- $(BENCH)

bench-erase:
	$(CARGO) bench --locked --quiet -p sss-server --bench erasing -- $(BENCH)
