# Everything a developer or a machine runs here. `make run` needs cargo and a C compiler, which ring
# (TLS) is built with.

.PHONY: run build dist reproduce test bench check audit sample clean

# Serves samples/ at http://127.0.0.1:3001, with no account and no setting.
run: build
	./target/release/vidgate serve

# The release binary, target/release/vidgate.
build:
	cargo build --release --locked

# The static program for other machines, in dist/, with its checksum, man pages and completions.
dist:
	deploy/dist.sh

# Proves that two clean clones of what is committed give the same static program, byte for byte: two whole builds.
reproduce:
	deploy/reproduce.sh

# All the tests, after installing what they need. Leaves nothing running.
test:
	tests/install.sh
	tests/run.sh
	tests/run.sh --no-default-features --lib --test lean

# vidgate beside nginx, rclone and a Node cluster, and docs/benchmarks.md from that: some 70 minutes.
bench: build
	tests/install.sh benches
	benches/side_by_side.sh

# Format, lints and documentation: any warning is an error. Also of the program with less in it.
check:
	cargo fmt --check
	cargo clippy --all-targets --all-features --locked -- -D warnings
	deploy/features.sh
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# Licences, sources and known vulnerabilities of all dependencies (deny.toml). Needs a network that reaches the advisories.
audit:
	@command -v cargo-deny >/dev/null || { echo 'make audit needs cargo-deny: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny --locked check

# Makes the sample video in samples/ anew.
sample:
	samples/make.sh

# Removes what was built; what tests/install.sh installed stays.
clean:
	cargo clean
