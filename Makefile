# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Python 3.11 or newer with pip, and make, are all that is needed: a target that runs something first makes the
# virtual environment it runs in.
#
#   make demo       diagnose a healthy simulated cluster, then a broken one
#   make test       every test, the playbooks included
#   make check      the product's unit tests, for every save
#   make replay     diagnose every recorded state of a real cluster      [STATE=name]
#   make scenario   diagnose the cluster of a scenario file              FILE=path [OUT=dir]
#   make docs       write docs/checks.md and docs/modules.md anew
#   make proto      compile the .proto files into _descriptors.py
#   make signatures write the log signatures of tests/tools/data into _signatures.py
#   make dist       build the artefact into dist/, install it elsewhere and diagnose from there
#   make lint       ansible-lint, yamllint, changelog, plugin documentation, licences
#   make sanity     ansible-test sanity
#   make molecule   the molecule scenarios, each against the simulated cluster that its file "cluster" names
#   make contract   the tests with real programs: talosctl, etcd, Kubernetes         [TIERS="etcd …"]
#   make programs   build these programs with Go, unless the cache has them          [TIERS="etcd …"]
#
# Variables: PYTHON, VENV, CONSTRAINTS (tests/constraints-oldest.txt for the lower bounds), WORKERS,
# LEAVE_OUT (directories or files of tests).

PYTHON := $(or $(PYTHON),$(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done))
VENV ?= .venv
CONSTRAINTS ?= tests/constraints-newest.txt
# Two for each core of a small machine: tests wait half of their time, for machines that hang and for what a cluster takes.
WORKERS ?= 4

BIN = $(abspath $(VENV))/bin
READY = $(VENV)/.ready
TOOLS = $(VENV)/.tools
GO = $(shell command -v go)
COMMA = ,
COLLECTIONS = $(CURDIR)/.build/collections
RUN = env -u HTTPS_PROXY -u https_proxy $(BIN)/python
PYTEST = $(RUN) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

export PATH := $(BIN):$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export ANSIBLE_LOCALHOST_WARNING := False
export ANSIBLE_INVENTORY_UNPARSED_WARNING := False
# Nothing here may ever reach the cluster of the person who types it.
unexport TALOSCONFIG TALOS_HOME TALOS_CONTEXT KUBECONFIG

.PHONY: help demo test check replay scenario docs proto signatures dist lint sanity molecule contract programs clean

help:
	@sed -n 's/^#   make /  make /p' Makefile

demo: $(READY)
	@$(RUN) -m tests.tools.demo

test: $(READY)
	$(PYTEST) tests --ignore tests/contract $(addprefix --ignore=,$(LEAVE_OUT))
	@echo "Left out: tests/contract, with the real talosctl, etcd and Kubernetes: make contract$(if $(GO),, (it needs Go$(COMMA) and none was found))"

check: $(READY)
	$(PYTEST) -x tests/unit --ignore tests/unit/bed --ignore tests/unit/simulator

replay: $(READY)
	@$(RUN) -m tests.tools.run_replay $(STATE)

scenario: $(READY)
	@test -n "$(FILE)" || { echo 'make scenario FILE=tests/scenarios/compound.yaml [OUT=directory]'; exit 2; }
	@$(RUN) -m tests.tools.run_scenario "$(FILE)" $(if $(OUT),--out "$(OUT)")

docs: $(READY)
	$(BIN)/python -m tests.tools.make_docs

signatures: $(READY)
	$(BIN)/python -m tests.tools.make_signatures

proto: $(TOOLS)
	$(BIN)/python tests/tools/make_descriptors.py

dist: $(READY)
	tests/gates/dist

lint: $(TOOLS)
	tests/gates/lint

sanity: $(TOOLS)
	tests/gates/sanity

molecule: $(TOOLS)
	@cd extensions && failed=; for directory in molecule/*/; do \
		name=$$(basename $$directory); bed=--healthy; \
		if [ -f $$directory/cluster ]; then bed="$(CURDIR)/$$(cat $$directory/cluster)"; fi; \
		PYTHONPATH="$(CURDIR)" $(RUN) -m tests.simulator $$bed -- $(BIN)/molecule test -s $$name || failed="$$failed $$name"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

contract: $(READY) programs
	$(PYTEST) $(addprefix tests/contract/,$(or $(TIERS),.))

programs:
	@"$(PYTHON)" -m tests.tools.programs $(TIERS)

clean:
	rm -rf .build dist .pytest_cache $(VENV)

$(READY): requirements.txt tests/requirements.txt $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed, and none was found: name it with PYTHON=/path/to/python3.'; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; %s is %s." % (sys.executable, sys.version.split()[0]))'
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null \
		&& "$(PYTHON)" -m venv --clear "$(VENV)" \
		|| { "$(PYTHON)" -m venv --clear --without-pip "$(VENV)" && "$(PYTHON)" -m pip --python "$(BIN)/python" install -q pip; }
	@echo "Installing what the demo and the tests need into $(VENV) (once; about a minute)"
	@"$(BIN)/python" -m pip install -q --disable-pip-version-check -r tests/requirements.txt -c $(CONSTRAINTS)
	@mkdir -p "$(COLLECTIONS)/ansible_collections/talosops"
	@ln -sfn "$(CURDIR)" "$(COLLECTIONS)/ansible_collections/talosops/talos"
	@touch $@

$(TOOLS): $(READY) tests/requirements-tools.txt
	@"$(BIN)/python" -m pip install -q --disable-pip-version-check -r tests/requirements-tools.txt -c $(CONSTRAINTS)
	@touch $@
