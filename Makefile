# The verbs of this repository. `make help` lists them.

# Outside the clone, so that a second clone is fast. Besides this folder nothing stays.
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
export RELAY_CACHE ?= $(cache)/relay
export CARGO_TARGET_DIR ?= $(RELAY_CACHE)/target
# A failed snapshot is shown, not written beside its test. `cargo insta review` sets its own.
export INSTA_UPDATE ?= no
# Tests wait more than they compute: for servers, for pods, for time to pass.
export RUST_TEST_THREADS ?= 6

# Recipes that hold the bed begin with exec: a signal to make then reaches the bed and not a shell before it.
CARGO := cargo
# Alone, for everything else on the machine would be measured too; with the program that the bed built for its image.
SPEED := $(CARGO) test --locked --test it -- speed::
# What `make bench` measures: two minutes of it, unless W says otherwise.
BENCH := fan static-fan diamonds chain one processes queued transitions blocked history \
	--times 3 --minutes 0.3 --runs 1000 --idle 5 --rows 100000
PROOFS := $(CARGO) test --locked --profile proofs --test proofs
SCRIPTS := $(addprefix tests/bed/,run install tools images relay-static cluster kubernetes/node) \
	$(wildcard tests/bed/*.sh tests/bed/parts/*.sh tests/bed/kubernetes/*.sh) infra/test_infra.sh .ci/run

.DEFAULT_GOAL := help
.PHONY: help test in-bed without-bed check fmt clippy scripts core docs it sim model chaos bench bench-cluster generate bed bed-run cluster-up cluster-down clean

# Tests that need Kubernetes live in tests/it/cluster. Where the bed has none it says why, and they are left out by name.
without := RELAY_TEST_WITHOUT_KUBERNETES

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## install what is missing, run every check and test with real servers and Kubernetes, leave nothing behind
	@tests/bed/install
	@why="$$(tests/bed/run --impossible)" && if [ -z "$$why" ]; then exec tests/bed/run $(MAKE) --no-print-directory in-bed; \
		else exec $(MAKE) --no-print-directory without-bed WHY="$$why"; fi

# Where there can be no servers: what needs none of them, and builds on any system.
without-bed: fmt core scripts
	@echo "Left out: lints, documentation, and the tests of tests/it, which need servers. There are none here: $(WHY)."

# Within the bed. What fails soonest comes first.
in-bed: fmt core clippy scripts docs
	$(CARGO) test --locked --all-targets -- --skip speed:: $(if $($(without)),--skip cluster::)
	$(PROOFS)
	$(if $($(without)),,$(SPEED))
	@[ -z "$${$(without):-}" ] || \
		echo "Left out: the tests under cluster:: and speed::, which need Kubernetes, or what is built for it. Here $${$(without)}."

check: fmt clippy scripts ## formatting, lints with warnings as errors, shell scripts

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --locked --all-targets --test proofs -- -D warnings

scripts:
	@for script in $(SCRIPTS); do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SCRIPTS); fi

core: ## model and engine alone, and the rules of tests/tidy.rs: seconds, no servers
	$(CARGO) test --locked --no-default-features --lib --test core --test tidy

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --quiet --no-deps --lib

it: ## the integration tests with servers; T=infra:: for some of them, with Kubernetes only for T=cluster
	@exec tests/bed/run $(if $(T),$(if $(findstring cluster,$(T)),,--without kubernetes)) \
		sh -c 'exec $(CARGO) test --locked --test it -- $${$(without):+--skip cluster::} $(T)'

sim: ## the simulation; SEEDS=100000 for so many seeds, FROM=2000 to begin there, SEED=417 for one with its trace
	$(if $(SEEDS),RELAY_SIM_SEEDS=$(SEEDS)) $(if $(FROM),RELAY_SIM_FIRST=$(FROM)) $(if $(SEED),RELAY_SIM_SEED=$(SEED)) \
		$(PROOFS) -- --nocapture sim::$(if $(SEEDS)$(SEED),whatever)

model: ## the protocol as a model, with more that goes wrong: minutes
	RELAY_MODEL_MUCH=1 $(PROOFS) -- --nocapture protocol::every_order

chaos: ## real faults on the real parts; MINUTES=45 for so long, SEED=7 to begin with that one
	@kubernetes="$$(tests/bed/tools kubernetes)" || exit 1; RELAY_TEST_KUBECTL="$$kubernetes/kubectl" \
		RELAY_CHAOS_MINUTES=$(or $(MINUTES),10) RELAY_CHAOS_SEED=$(SEED) exec tests/bed/run --without kubernetes \
		$(CARGO) test --locked --test it -- --nocapture cluster::chaos

bench: ## how fast Relay is on this machine, in two minutes; W='transitions --minutes 10' for something else
	$(CARGO) build --locked --release
	@exec tests/bed/run --without kubernetes sh -c 'export RELAY_DATABASE_URL="$$RELAY_TEST_POSTGRES_URL" \
		RELAY_REDIS_URL="$$RELAY_TEST_REDIS_URL"; exec "$$CARGO_TARGET_DIR/release/relay" bench $(or $(W),$(BENCH))'

bench-cluster: ## from a Run object to its task and its end, and 10,000 live Runs; OBJECTS=0 without these, JSON=FILE for the figures
	@kubernetes="$$(tests/bed/tools kubernetes)" || exit 1; $(CARGO) build --locked --release --bin relay && \
		RELAY_TEST_KUBECTL="$$kubernetes/kubectl" RELAY_BENCH_PROGRAM="$$(realpath "$${CARGO_TARGET_DIR}")/release/relay" \
		RELAY_BENCH_JSON=$(abspath $(JSON)) RELAY_BENCH_OBJECTS=$(OBJECTS) exec tests/bed/run --without kubernetes \
		$(CARGO) test --locked --test it -- --nocapture cluster::bench

generate: ## rewrite the committed files that code prints
	RELAY_GENERATE=1 $(CARGO) test --locked --test core -- tables::
	RELAY_GENERATE=1 $(CARGO) test --locked --test it -- generated::

bed: ## start the servers and Kubernetes, print their addresses, end them at Ctrl-C
	@exec tests/bed/run sh -c 'echo "export RELAY_TEST_POSTGRES_URL=$$RELAY_TEST_POSTGRES_URL"; \
		echo "export RELAY_TEST_REDIS_URL=$$RELAY_TEST_REDIS_URL"; \
		echo "export KUBECONFIG=$$RELAY_TEST_KUBECONFIG"; exec sleep infinity'

bed-run: export BED_COMMAND = $(value CMD)
bed-run: ## run CMD='...' with the servers
	@exec tests/bed/run sh -c "$$BED_COMMAND"

cluster-up: ## a Kubernetes with Relay in it, which stays until cluster-down
	@tests/bed/install
	@exec tests/bed/cluster up

cluster-down: ## end it, and leave nothing behind
	@exec tests/bed/cluster down

clean: ## remove what was built, and what killed beds left behind
	@tests/bed/run --sweep
	$(CARGO) clean
	rm -rf $(RELAY_CACHE)/tools $(RELAY_CACHE)/go $(RELAY_CACHE)/images-*
