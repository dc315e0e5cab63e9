# What the pipelines run (buddy.yml, .github/workflows). The Makefile includes this file.

PYTHON ?= python3
DOCKER ?= docker
# The AWS command line of this machine, else one in an environment of its own.
AWS ?= $(or $(shell aws --version >/dev/null 2>&1 && command -v aws),.venv-aws/bin/aws)
# The Python that has the site's packages.
SITE_PYTHON ?= .venv/bin/python

PROJECT ?= crud
STACK ?= $(PROJECT)
# The registry of the images, such as 123456789012.dkr.ecr.ap-northeast-2.amazonaws.com
REGISTRY ?=
TAG ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo latest)
# More arguments: of docker build, of docker run, parameters of the template, of the deployment.
BUILDARGS ?=
RUNARGS ?=
# What of the suite runs in the image; empty: all of it.
IMAGE_TESTS ?=
PARAMETERS ?=
DEPLOYARGS ?=

image_of = $(if $(REGISTRY),$(REGISTRY)/)$(PROJECT)/$(1):$(TAG)

.PHONY: image image-test secrets-check push deploy

# The two images of the site.
image:
	$(DOCKER) build -f example_project/Dockerfile --target web $(BUILDARGS) -t $(call image_of,web) .
	$(DOCKER) build -f example_project/Dockerfile --target nginx $(BUILDARGS) -t $(call image_of,nginx) .

# tox, in the image that will be deployed. What is committed goes in through stdin.
image-test:
	git archive HEAD | $(DOCKER) run --rm -i --env HOME=/tmp/home $(RUNARGS) $(call image_of,web) sh -ec '\
		mkdir /tmp/home /tmp/src && cd /tmp/src && tar -x && \
		python3 -m venv /tmp/tox && /tmp/tox/bin/python -m pip install -q "tox>=4.20,<5" && \
		/tmp/tox/bin/tox run -e newest $(if $(IMAGE_TESTS),-- $(IMAGE_TESTS))'

# Fetch the secrets, and load the settings with them: a missing one is found before the deployment.
# They are in a file of this user alone for that long, and on no terminal.
secrets-check: $(SITE_PYTHON)
	@set -e; fetched=$$(mktemp -d); trap 'rm -rf "$$fetched"' EXIT; \
	cd example_project; export DJANGO_SETTINGS_MODULE=config.settings.production; \
	"$(abspath $(SITE_PYTHON))" manage.py secrets getall -o "$$fetched/secrets.json"; \
	KMS_SECRETS_URL="file://$$fetched/secrets.json" \
		"$(abspath $(SITE_PYTHON))" manage.py check --deploy --fail-level WARNING

push: $(AWS)
	@test -n "$(REGISTRY)" || { echo "push: set REGISTRY to the registry of the images" >&2; exit 2; }
	$(if $(findstring .dkr.ecr.,$(REGISTRY)),$(AWS) ecr get-login-password | \
		$(DOCKER) login --username AWS --password-stdin $(REGISTRY))
	$(DOCKER) push $(call image_of,web)
	$(DOCKER) push $(call image_of,nginx)

# Parameters that are not named keep the values of the last deployment.
# A rehearsal: make deploy DEPLOYARGS=--no-execute-changeset
deploy: $(AWS)
	$(AWS) cloudformation deploy --stack-name $(STACK) \
		--template-file example_project/deploy/template.yaml \
		--capabilities CAPABILITY_NAMED_IAM --no-fail-on-empty-changeset \
		--parameter-overrides NginxTag=$(TAG) WebTag=$(TAG) $(PARAMETERS) $(DEPLOYARGS)

.venv/bin/python: .venv/ready ;

.venv-aws/bin/aws:
	$(PYTHON) -m venv --clear .venv-aws
	.venv-aws/bin/python -m pip install -q awscli
