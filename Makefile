# kevmond: everything a person or CI does, as one word each.  `make help` lists them.
PYTHON ?= python3
RUN     := .venv
TEST    := .venv-test
SOURCES := kevmond tests benchmarks packaging

# An environment is made from its lock and nothing else; the stamp is newer than the lock it was made from.
define make_environment
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kevmond needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/lock/$(2).txt
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(1)/.made
endef

.PHONY: run test test-browser chaos lint bench fuzz docs kext lock clean help
.DEFAULT_GOAL := help

run: $(RUN)/.made  ## start the daemon here and watch events (Ctrl-C stops it)
	@$(RUN)/bin/kevmond run --state-dir .kevmond

test: $(TEST)/.made  ## run every test
	$(TEST)/bin/python -m pytest

test-browser: $(TEST)/.browser  ## install a headless browser if there is none, and test the live page in it
	.ci/browser
	KEVMOND_BROWSER_TESTS=required $(TEST)/bin/python -m pytest tests/browser

chaos: $(TEST)/.made  ## kill the daemon more than 200 times under load (CHAOS_SEED=N: a run again)
	CHAOS_EVENTS=20000 CHAOS_KILLS=230 $(TEST)/bin/python -m pytest tests/chaos -q -k long

lint: $(TEST)/.made  ## check style and types
	$(TEST)/bin/ruff check --no-cache $(SOURCES)
	$(TEST)/bin/ruff format --check $(SOURCES)
	$(TEST)/bin/mypy

bench: $(TEST)/.made  ## measure what the README claims
	$(TEST)/bin/python benchmarks/all.py

fuzz: $(TEST)/.made  ## decode a million random and mutated messages
	KEVMOND_FUZZ_MESSAGES=1000000 $(TEST)/bin/python -m pytest tests/properties -q

docs: $(TEST)/.made  ## write the generated pages again
	$(TEST)/bin/kevmond events --markdown > docs/events.md
	$(TEST)/bin/python packaging/man.py > packaging/man/kevmond.1
	$(TEST)/bin/kevmond completion bash > packaging/completion/kevmond.bash
	$(TEST)/bin/kevmond completion zsh > packaging/completion/_kevmond
	$(TEST)/bin/kevmond completion fish > packaging/completion/kevmond.fish

kext:  ## build the host that runs the sample kernel extension here (Linux)
	$(MAKE) -s -C kext/host

lock:  ## resolve the dependencies again (needs uv; no index address is written)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --group build pyproject.toml -o .ci/lock/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --group build --group dev -c .ci/lock/run.txt pyproject.toml \
	  -o .ci/lock/test.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --group browser -c .ci/lock/test.txt -o .ci/lock/browser.txt

clean:  ## remove the environments and caches
	rm -rf $(RUN) $(TEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:  ## list these words
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUN)/.made: .ci/lock/run.txt pyproject.toml
	$(call make_environment,$(RUN),run)

$(TEST)/.made: .ci/lock/test.txt pyproject.toml
	$(call make_environment,$(TEST),test)

$(TEST)/.browser: $(TEST)/.made .ci/lock/browser.txt
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/lock/browser.txt
	touch $@
