# The verbs of this repository. `make help` lists them.

# Outside the clone, so that a second clone is fast. Besides this folder nothing stays.
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
export RELAY_CACHE ?= $(cache)/relay
export CARGO_TARGET_DIR ?= $(RELAY_CACHE)/target
# A failed snapshot is shown, not written beside its test. `cargo insta review` sets its own.
export INSTA_UPDATE ?= no

# Recipes that hold the bed begin with exec: a signal to make then reaches the bed and not a shell before it.
CARGO := cargo
SCRIPTS := tests/bed/run tests/bed/install tests/bed/processes.sh $(wildcard tests/bed/parts/*.sh) infra/test_infra.sh .ci/run

.DEFAULT_GOAL := help
.PHONY: help test in-bed check fmt clippy scripts core docs it sim generate bed bed-run clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## install what is missing, run every check and test with real servers, leave nothing behind
	@tests/bed/install
	@exec tests/bed/run $(MAKE) --no-print-directory in-bed

# Within the bed. What fails soonest comes first.
in-bed: fmt core clippy scripts docs
	$(CARGO) test --locked --all-targets

check: fmt clippy scripts ## formatting, lints with warnings as errors, shell scripts

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --locked --all-targets -- -D warnings

scripts:
	@for script in $(SCRIPTS); do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SCRIPTS); fi

core: ## model and engine alone, and the rules of tests/tidy.rs: seconds, no servers
	$(CARGO) test --locked --no-default-features --lib --test core --test tidy

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --quiet --no-deps --lib

it: ## the integration tests with servers; T=infra:: for some of them
	@exec tests/bed/run $(CARGO) test --locked --test it -- $(T)

sim: ## the simulation; SEEDS=500 for many seeds, SEED=417 for one
	$(if $(SEEDS),RELAY_SIM_SEEDS=$(SEEDS)) $(if $(SEED),RELAY_SIM_SEED=$(SEED)) $(CARGO) test --locked --test it -- --nocapture sim::

generate: ## rewrite the committed files that code prints
	RELAY_GENERATE=1 $(CARGO) test --locked --test core -- tables::
	RELAY_GENERATE=1 $(CARGO) test --locked --test it -- generated::

bed: ## start the servers, print their addresses, end them at Ctrl-C
	@exec tests/bed/run sh -c 'echo "export RELAY_TEST_POSTGRES_URL=$$RELAY_TEST_POSTGRES_URL"; \
		echo "export RELAY_TEST_REDIS_URL=$$RELAY_TEST_REDIS_URL"; exec sleep infinity'

bed-run: export BED_COMMAND = $(value CMD)
bed-run: ## run CMD='...' with the servers
	@exec tests/bed/run sh -c "$$BED_COMMAND"

clean: ## remove what was built, and what killed beds left behind
	@tests/bed/run --sweep
	$(CARGO) clean
