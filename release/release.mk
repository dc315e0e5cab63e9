# What a release is: an sdist and a wheel (dist/) and a software bill of materials (sbom/), and
# what its dependencies are known for. The Makefile includes this file.

PYTHON ?= python3
# The Python that has the tools of requirements.txt.
RELEASE_PYTHON ?= .venv-release/bin/python
# Where known vulnerabilities are asked for.
OSV_URL ?= https://api.osv.dev/v1/query

RELEASE_VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' django_kms_secrets/_version.py)
# The time of the commit stands for the time of the build: two builds are the same, byte for byte.
COMMIT_TIME = $(shell git log -1 --format=%ct)
WHEEL = dist/django_kms_secrets-$(RELEASE_VERSION)-py3-none-any.whl
SDIST = dist/django_kms_secrets-$(RELEASE_VERSION).tar.gz
# Where the commits of releases are.
MAIN ?= origin/main
SBOM = sbom/django-kms-secrets-$(RELEASE_VERSION).cdx.json

.PHONY: dist sbom tag-check audit audit-lowest lock

# What is committed, and nothing else, is built in a directory of its own. The modes of files get
# into the wheel, so the umask is fixed. No isolation: that would fetch a setuptools of the day.
dist: $(RELEASE_PYTHON)
	rm -rf dist
	@set -e; umask 022; tree=$$(mktemp -d); trap 'rm -rf "$$tree"' EXIT; \
	git archive -o "$$tree.tar" HEAD; tar -x -C "$$tree" -f "$$tree.tar"; rm "$$tree.tar"; \
	SOURCE_DATE_EPOCH=$(COMMIT_TIME) \
	$(RELEASE_PYTHON) -m build --quiet --no-isolation --outdir dist "$$tree"
	$(RELEASE_PYTHON) release/repack.py $(SDIST) $(COMMIT_TIME)
	$(RELEASE_PYTHON) -m twine check --strict dist/*

# From an environment that has the wheel, what it needs, and not even pip. Only wheels are installed:
# they bring no code that builds. They still bring code, so the pipeline publishes nothing from where
# this ran, and the wheel is one that is there, if there is one. All that happens in an empty directory
# and without PYTHONPATH, since what lies there would be taken for installed. pip records where the
# wheel was: its directory on this machine is left out, its name and SHA-256 stay.
sbom: $(RELEASE_PYTHON)
	test -f $(WHEEL) || $(MAKE) dist
	rm -rf sbom .venv-sbom && mkdir sbom
	$(RELEASE_PYTHON) -m venv --without-pip .venv-sbom
	mkdir .venv-sbom/empty
	cd .venv-sbom/empty; env -u PYTHONPATH \
		$(abspath $(RELEASE_PYTHON)) -m pip --python .. install -q --only-binary :all: "$(CURDIR)/$(WHEEL)"
	cd .venv-sbom/empty; env -u PYTHONPATH SOURCE_DATE_EPOCH=$(COMMIT_TIME) \
		$(abspath $(RELEASE_PYTHON)) -m cyclonedx_py environment --of JSON --output-reproducible -o ../sbom.json ..
	sed 's|"file://[^"]*/|"|' .venv-sbom/sbom.json > $(SBOM)

# A tag that names another version than the package is a mistake, and so is one beside main; the
# service sets GITHUB_REF_NAME.
tag-check:
	@test "$$GITHUB_REF_NAME" = "v$(RELEASE_VERSION)" || { \
		echo "tag-check: the tag is '$$GITHUB_REF_NAME', the package is $(RELEASE_VERSION)" >&2; exit 1; }
	@git merge-base --is-ancestor HEAD $(MAIN) || { \
		echo "tag-check: the commit of '$$GITHUB_REF_NAME' is not on $(MAIN)" >&2; exit 1; }

# The newest versions that the package's requirements and extras permit.
audit: RESOLUTION = highest
audit: audit-of-requirements

# The oldest ones. A lower bound says what works, not what is safe: for information.
audit-lowest: RESOLUTION = lowest-direct
audit-lowest: audit-of-requirements

.PHONY: audit-of-requirements
audit-of-requirements: $(RELEASE_PYTHON)
	@set -e; resolved=$$(mktemp); trap 'rm -f "$$resolved"' EXIT; \
	$(RELEASE_PYTHON) -m uv pip compile -q --no-header --all-extras --resolution $(RESOLUTION) \
		setup.cfg -o "$$resolved" >/dev/null; \
	$(RELEASE_PYTHON) release/audit.py "$$resolved" --osv-url $(OSV_URL)

# The newest tools, with the hashes of their files.
lock: $(RELEASE_PYTHON)
	$(RELEASE_PYTHON) -m uv pip compile -q --upgrade --universal --python-version 3.10 \
		--generate-hashes --no-annotate --custom-compile-command "make lock" \
		release/requirements.in -o release/requirements.txt

.venv-release/bin/python: .venv-release/ready ;

.venv-release/ready: release/requirements.txt
	$(PYTHON) -m venv --clear .venv-release
	.venv-release/bin/python -m pip install -q --require-hashes --only-binary :all: -r $<
	@touch $@
