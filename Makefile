# `make help` lists what there is. Each target makes its own .venv where there is none.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE =# where a shell sets it, pytest rewrites each test module anew in each of its processes
export HYPOTHESIS_NO_PLUGINS = 1# else each process imports trio, which brings one

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow faults fleet soak bench screenshots probes lint messages docs tox build clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

demo: .venv/demo ## a Flagsmith stand-in, the listener and a shop with two workers: two URLs to open
	@$(BIN)/python example_project/manage.py demo $(ARGS)

test: .venv/dev ## the fast test suite
	$(BIN)/python -m pytest -n auto $(ARGS)

test-slow: .venv/dev ## the tests with servers or a browser, and long ones
	$(BIN)/python -m pytest tests -m slow -n 2 --dist loadgroup $(ARGS)

faults: .venv/dev ## the fault bench; writes its table to docs/explanation/faults.md
	$(BIN)/python -m pytest tests/faults -m "" --faults-table docs/explanation/faults.md $(ARGS)

fleet: .venv/dev ## two hosts and what they come through, in half an hour; or ARGS="faults --times 1"
	$(BIN)/python -m tests.fleet --table docs/explanation/fleet.md $(ARGS)

soak: .venv/dev ## random faults for a minute, or for ARGS="--seconds 600"
	$(BIN)/python -m tests.tools.soak $(ARGS)

bench: benchmarks/.venv/ready ## what it costs beside others, in ten minutes; QUICK=1: in one or two; writes docs/explanation/benchmarks.md
	@benchmarks/.venv/bin/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

screenshots: .venv/dev ## the pictures: of the running demo, the admin page, and flagsmith_status in seven states
	$(BIN)/python -m tests.tools.demo_screenshots $(ARGS)
	$(BIN)/python -m tests.tools.admin_screenshots docs/images
	$(BIN)/python -m tests.tools.status_screenshots docs/images

probes: .venv/dev ## what flagsmith_status and health/ say of faults, and after how many seconds
	$(BIN)/python -m tests.tools.probes $(ARGS)

lint: .venv/dev ## ruff, mypy, and the schemas of what GitHub runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

messages: .venv/dev ## the texts to translate, and the compiled translations; ARGS="--locale fr": a new language
	cd django_flagsmith_realtime && ../$(BIN)/python -m django makemessages $(or $(ARGS),--all) --no-location --no-wrap --no-obsolete -v 0
	cd django_flagsmith_realtime && ../$(BIN)/python -m django compilemessages -v 0

docs: .venv/dev ## the documentation site, in docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -n docs docs/_build/html $(ARGS)

tox: .venv/dev ## the suite on every installed Python and every supported Django
	$(BIN)/tox $(ARGS)

build: .venv/dev ## the wheel and the source distribution, in dist/, checked
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-manifest

clean: ## remove what the commands above made
	rm -rf docs/_build .venv benchmarks/.venv .tox .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info example_project/.demo

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml example_project/requirements.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e . -r example_project/requirements.txt
	@touch $@

benchmarks/.venv/ready: benchmarks/requirements.txt pyproject.toml
	@$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install -qq --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml tests/example_project/deploy/requirements.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]' -r tests/example_project/deploy/requirements.txt
	@touch $@
