# `make` shows what there is. Everything that needs real engines runs in the laboratory (tests/lab/README.md), which
# needs root on a Debian or Ubuntu machine.
.DEFAULT_GOAL := help
.PHONY: help demo test argv fuzz lint doc bench peers versions causes caches verify-images real-images actions nightly nightly-short nightly-images fleet soak self-check lab-up lab-down

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## build examples/hello and analyse it: needs Rust (and Go where no container registry can be reached)
	@examples/demo

# Twice the processors: a good part of a test's time is waiting, for an engine, a network or a time limit.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
test: lab-up ## all tests, on real engines; leaves the laboratory up for the next run
	@eval "$$(tests/lab/lab env)" && cargo test --locked --no-fail-fast
	@echo "the laboratory is still up; \`make lab-down\` stops it"

argv: lab-up ## odd words through the parsers of the real tools, for minutes instead of seconds
	@eval "$$(tests/lab/lab env)" && PROPTEST_CASES=50000 cargo test --locked --release --test argv

SECONDS_EACH := 60
fuzz: ## the parsers of what strangers send, under libFuzzer (SECONDS_EACH=1200 for longer)
	@fuzz/run $(SECONDS_EACH)

lint: ## format, clippy, rustdoc, shell scripts, workflows and actions, dependencies
	@.ci/run lint

doc: ## the library's documentation, in target/doc/repro
	@cargo doc --locked --no-deps

bench: lab-up ## what `repro build` costs over the bare command and over upstream, `repro analyze` beside crane, `repro diff` beside diffoci, `repro push` beside skopeo and crane, a matrix beside its builds one after the other, a long history
	@eval "$$(tests/lab/lab env)"; status=0; \
	for bench in bench bench-analyze bench-diff bench-push bench-matrix bench-matrix-history; do "tests/lab/$$bench" || status=$$?; done; exit "$$status"

peers: lab-up ## beside upstream and others: the same digests, upstream's defects, broken archives
	@eval "$$(tests/lab/lab env)" && tests/lab/peers

VERSIONS := v0.13.2 v0.19.0 v0.31.1 v0.32.2
versions: lab-up ## what moves digests between versions of BuildKit, held against the table of it
	@tests/lab/lab buildkit $(VERSIONS) >/dev/null
	@eval "$$(tests/lab/lab env)" && REPRO_TEST_VERSIONS="$(VERSIONS)" cargo test --locked --test lab -- versions::

causes: lab-up ## contexts with planted causes, built twice: `repro diff` names cause and line, the fix gives one digest
	@tests/lab/lab causes
	@eval "$$(tests/lab/lab env)" && cargo test --locked --test lab -- --ignored --nocapture causes::

real-images: lab-up ## five images as people write them: `repro check` finds why they differ, and what is in their place is reproducible; the example for Lambda
	@tests/lab/lab real-images
	@eval "$$(tests/lab/lab env)" && cargo test --locked --test lab -- --ignored --nocapture real_images:: examples::

actions: lab-up ## the actions of `action/`, run by act in a repository of a user's as a runner of GitHub's would; every input with hostile values
	@tests/lab/lab actions
	@eval "$$(tests/lab/lab env)" && REPRO_TEST_INJECTION=all cargo test --locked --test lab -- --include-ignored --nocapture actions:: cache_map:: github::

caches: lab-up ## the corpus through a registry's cache: what is imported gives what a cold build gives
	@eval "$$(tests/lab/lab env)" && cargo test --locked --test lab -- --ignored --nocapture caches::

verify-images: lab-up ## a dozen images as others publish them, verified by what they say of themselves
	@eval "$$(tests/lab/lab env)" && cargo test --locked --test lab -- --ignored --nocapture verify::

NIGHTLY := v0.13.2 v0.25.2 v0.32.2
nightly: lab-up ## the project's own matrix: five images, each runtime, five versions of BuildKit, two platforms; and which version changed what
	@tests/lab/lab buildkit $(NIGHTLY) v0.23.2 v0.24.0 >/dev/null
	@tests/lab/lab emulator
	@eval "$$(tests/lab/lab env)" && cargo test --locked --test lab -- --include-ignored --nocapture --test-threads=1 matrix::

nightly-short: lab-up ## a part of it, in minutes: three images, two versions
	@tests/lab/lab emulator
	@eval "$$(tests/lab/lab env)" && REPRO_TEST_MATRIX=short cargo test --locked --test lab -- --ignored --nocapture matrix::

nightly-images: lab-up ## Debian 12 and 13 as nightly/debian makes them, from the archive of today, each on two runtimes
	@tests/lab/lab releases
	@eval "$$(tests/lab/lab env)" && cargo test --locked --test lab -- --ignored --nocapture nightly::

fleet: lab-up ## forty cells on four BuildKits behind mutual TLS, of which one is killed, one hangs and one falls off the network
	@eval "$$(tests/lab/lab env)" && cargo test --locked --test lab -- --include-ignored --nocapture --test-threads=1 fleet::

BUILDS := 200
soak: lab-up ## 200 builds in a row and 8 at once, each way: nothing stays but a cache below its limit (BUILDS=20 for fewer)
	@eval "$$(tests/lab/lab env)" && REPRO_TEST_SOAK=$(BUILDS) cargo test --locked --test lab -- --nocapture --test-threads=1 soak::

self-check: ## build `repro` itself and its wheel twice, in other directories and at other times, and compare the bytes
	@release/self-check
	@release/self-check --wheel

lab-up: ## start the laboratory: registry, dockerd, Podman, BuildKit, all of its own
	@tests/lab/lab up

lab-down: ## stop what lab-up started
	@tests/lab/lab down
