# `make demo` and `make test` are all that a fresh machine with a Rust toolchain needs.

CARGO ?= cargo
TEST_TOOLS = cc mkfs.ext4 losetup fusermount3 setfattr getfattr rsync vim openssl curl python3 pip git pgrep runuser sqlite3 mandoc

.PHONY: help demo build test soak check fmt bench bench-erase deny man

help:
	@echo "make demo    a store, three users, one document: shows what 3S does and cleans up"
	@echo "make test    all tests, with real mounts and real tools"
	@echo "make soak    fresh sequences on a model and the whole system (MINUTES=60)"
	@echo "make check   what CI runs: formatting, clippy, all tests"
	@echo "make bench   measures against a plain folder and sshfs (BENCH='--rounds 1 --size 256')"
	@echo "make bench-erase  what erasing a key costs, by the number of keys (BENCH='--keys 1000,10000')"
	@echo "make build   release binaries in target/release"
	@echo "make man     man pages and completions in target/man and target/completions"
	@echo "make deny    licences and advisories of the dependencies (needs cargo-deny)"

demo:
	@integration/demo.sh

build:
	$(CARGO) build --release --bins

test:
	@integration/setup.sh $(TEST_TOOLS)
	$(CARGO) test --workspace

soak:
	SSS_SOAK_MINUTES=$(or $(MINUTES),60) $(CARGO) test -p sss-model --test soak -- --ignored --nocapture

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(MAKE) --no-print-directory test

man:
	@$(CARGO) run --locked --quiet -p sss-integration --example man -- $(abspath $(or $(CARGO_TARGET_DIR),target))

fmt:
	$(CARGO) fmt --all

bench:
	@integration/setup.sh cc fusermount3
	$(CARGO) build --release --bins
	$(CARGO) run --release --quiet --bin 3s-bench -- $(BENCH)

bench-erase:
	$(CARGO) bench --quiet -p sss-server --bench erasing -- $(BENCH)

deny:
	cargo deny check
