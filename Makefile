# Everything a newcomer needs:  make run   make test
# Both set themselves up: a virtual environment in .venv, every dependency pinned by hash.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests start some hundreds of processes, and each would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test debian bench chaos fuzz scan pictures lock sbom clean help

help:            ## list the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

run: $(VENV)/.run     ## start Hamgate on this machine
	@exec $(BIN)/hamgate up

test: $(VENV)/.dev debian     ## format, lint, types, import contracts, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/lint-imports
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# What the tests run and no Python package brings, program by program, with the package of Debian
# that has it. Elsewhere the tests that need it are skipped and say so; where CI is set they may
# not be. What is there already is left alone: it may come from elsewhere, as NodeSource's node,
# which brings npm and refuses Debian's beside it.
PROGRAMS := cc:gcc cc:libc6-dev chromium:chromium dbus-daemon:dbus ip:iproute2 mount:mount \
            nginx:nginx-light node:nodejs npm:npm systemd-analyze:systemd unshare:util-linux

debian:
	@[ -z "$$CI" ] || { \
	  for one in $(PROGRAMS); do which $${one%:*} >/dev/null || set -- $$@ $${one#*:}; done; \
	  [ $$# = 0 ] || { apt-get -q update && apt-get -qy install --no-install-recommends $$@; }; }

bench: $(VENV)/.dev     ## the benchmarks of tests/bench (minutes; prints a table)
	$(BIN)/python -m tests.bench

chaos: $(VENV)/.dev     ## break everything again and again, and look what holds (an hour or more; prints a table)
	$(BIN)/python -m tests.chaos

# atheris runs in an environment that is laid over ours for the time.
GUIDED = VIRTUAL_ENV=$(CURDIR)/$(VENV) uv run --quiet --active --no-project --with atheris==3.0.0

fuzz: $(VENV)/.dev      ## schemathesis over a running server, atheris on parsers (minutes; needs uv)
	$(BIN)/python -m tests.fuzz
	$(GUIDED) python -m tests.guided

# In an environment of its own, since it wants older versions of what we use. Nothing is sent anywhere.
SEMGREP = uvx --quiet --from semgrep==1.185.0 semgrep scan --metrics off --disable-version-check
FLOWS = tests/security/flows

scan:            ## follow what strangers send through the code, with semgrep (half a minute; needs uv)
	$(SEMGREP) --quiet --test $(FLOWS)
	$(SEMGREP) --quiet --error --config $(FLOWS)/strangers.yaml service workers classifier

PICTURES := overview queue objections campaign second-looks comment comments history policy model \
            version webhooks webhook people account sites

pictures: $(VENV)/.dev     ## take the README's pictures of the dashboard anew (needs chromium)
	$(BIN)/pytest -q tests/browser/test_pages.py
	mkdir -p service/dashboard/pictures
	cp $(PICTURES:%=build/screenshots/%-light.png) service/dashboard/pictures/

lock:            ## resolve pyproject.toml into the lock files (needs uv)
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --extra tracing -c requirements.lock -o requirements-tracing.lock
	$(COMPILE) --group build -o requirements-build.lock
	$(COMPILE) pyproject.toml --extra tracing --group dev -c requirements-tracing.lock \
	  -o requirements-dev.lock

# In an environment made for the run; from the lock file alone, so the same again each time.
sbom:            ## write build/sbom.json: what an installation consists of, in CycloneDX (needs uv)
	@mkdir -p build
	uvx --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements.lock \
	  --pyproject pyproject.toml --output-reproducible --output-format JSON -o build/sbom.json

clean:           ## remove what the targets made; the data in .hamgate stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Debian keeps ensurepip in a package of its own, so the environment is made without pip and
# filled from outside. The project itself is installed last, from the locked build back end.
$(BIN)/python:
	$(PYTHON) -m venv --without-pip $(VENV)

COMPILE = uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
          --no-header --no-annotate --no-emit-index-url
# Python compiles a module when it is first imported; most of scipy, say, never is.
INSTALL = $(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install --quiet \
          --no-compile

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --require-hashes -r requirements-build.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
