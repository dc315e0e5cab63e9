# The commands that matter: make demo, make demo-check, make test.

PYTHON ?= python3
# Interpreters under pyenv are found although none of them is active. They come last: what is
# active comes first.
PYENV_ROOT ?= $(HOME)/.pyenv
empty :=
PYENV_PATH := $(subst $(empty) $(empty),:,$(wildcard $(PYENV_ROOT)/versions/3.1[0-9]*/bin))
export PATH := $(PATH)$(if $(PYENV_PATH),:$(PYENV_PATH))

# Empty: compose-check needs a docker engine, which it installs and starts on Debian as root.
# --or-native: without an engine it runs nginx, PostgreSQL, gunicorn and moto as processes.
ENGINE ?=

.PHONY: help demo demo-check test fuzz bench bench-lock compose-check clean

help:
	@echo "make demo           the example site on an embedded AWS; Ctrl-C stops it"
	@echo "make demo-check     the same unattended: drives the site, exits 0 or 1"
	@echo "make test           the suite, lint, types and docs on every Python found"
	@echo "make compose-check  the containers, built, driven in a browser, and taken down"
	@echo "make image          the site's Docker images; more targets in example_project/deploy/deploy.mk"
	@echo "make audit          known vulnerabilities of what the package needs"
	@echo "make sbom           sdist, wheel and bill of materials; more targets in release/release.mk"
	@echo "make fuzz           hostile input, found by coverage; about ten minutes, on one core"
	@echo "make bench          ours and others, measured side by side; ten minutes of an idle machine"
	@echo "make clean          remove what these made"

demo: .venv/ready
	.venv/bin/python example_project/demo.py

demo-check: .venv/ready
	.venv/bin/python example_project/demo.py --check

test: .venv-tox/ready
	@.venv-tox/bin/python tests/interpreters.py
	.venv-tox/bin/tox run $(TOXARGS)

compose-check: .venv-compose/ready$(ENGINE)
	.venv-compose/bin/python tests/compose/engine.py $(ENGINE) -- \
		.venv-compose/bin/python -m pytest -c tests/compose/pytest.ini tests/compose

# FUZZARGS: a target, and options of libFuzzer: yaml -max_total_time=600
fuzz: .venv-fuzz/ready
	nice .venv-fuzz/bin/python -m tests.fuzz.run $(FUZZARGS)

# What is measured is this tree, installed as anybody would. BENCHARGS: --only TEXT, --rounds N
bench: .venv-bench/ready
	.venv-bench/bin/python -m pip install -q --no-deps --force-reinstall .
	.venv-bench/bin/python -m benchmarks $(BENCHARGS)

# The newest peers, with the hashes of their files.
bench-lock: .venv-release/ready
	.venv-release/bin/python -m uv pip compile -q --upgrade --universal --python-version 3.10 \
		--generate-hashes --no-annotate --custom-compile-command "make bench-lock" \
		benchmarks/requirements.in -o benchmarks/requirements.txt

.venv/ready: setup.cfg example_project/requirements.txt
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install -q -e '.[yaml,credstash]' -r example_project/requirements.txt 'moto[server]>=5.2'
	@touch $@

.venv-tox/ready: tox.ini
	$(PYTHON) -m venv --clear .venv-tox
	.venv-tox/bin/python -m pip install -q 'tox>=4.20,<5'
	@touch $@

.venv-fuzz/ready: setup.cfg tests/fuzz/requirements.txt
	$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python -m pip install -q -e '.[yaml]' -r tests/fuzz/requirements.txt
	@touch $@

.venv-bench/ready: benchmarks/requirements.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install -q --require-hashes -r $<
	@touch $@

.venv-compose/ready$(ENGINE): tests/compose/requirements$(if $(ENGINE),-native).txt
	$(PYTHON) -m venv --clear .venv-compose
	.venv-compose/bin/python -m pip install -q $(if $(ENGINE),.) -r $<
	@touch $@

clean:
	rm -rf .venv .venv-tox .venv-aws .venv-bench .venv-compose .venv-release .venv-sbom .venv-fuzz artefacts .tox \
		build dist sbom \
		*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The targets of the pipelines: image, image-test, secrets-check, push, deploy.
include example_project/deploy/deploy.mk

# The targets of a release: dist, sbom, tag-check, audit.
include release/release.mk
