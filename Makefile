# Amends. `make` alone prints this list. Each target works first in a fresh clone: it needs Python >= 3.11 and nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
WINDOW ?= 1,200,1000
ROUNDS ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
CODE := amends bench consumers eventstore marketplace orchestrator reconciler sagas tests scripts docs/examples

.PHONY: help setup demo test run check bench peers lock soak survival figures idle starts wheel planted prover

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/run.done ## the virtual environment, from hashed locks

demo: $(VENV)/run.done ## the whole story on a terminal: upload, approve, kill, undo (under a minute)
	$(BIN)/amends demo

run: $(VENV)/run.done ## everything on http://127.0.0.1:3000 until you press Ctrl-C
	$(BIN)/amends up

test: $(VENV)/test.done ## the default test suite, on real PostgreSQL and real Redis
	$(BIN)/python -m pytest -q -n 2

check: $(VENV)/check.done ## ruff, mypy strict, pyright strict, import contracts, house rules
	$(BIN)/ruff check $(wildcard $(CODE))
	$(BIN)/ruff format --check $(wildcard $(CODE))
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/house

soak: $(VENV)/test.done ## 20,000 random sagas through the rules, 2,000 races with people, both walks of the prover (SEED=n repeats one)
	$(BIN)/python -m tests.property.soak $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.faults.soak $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.property.comparing $(if $(SEED),--seed $(SEED))

planted: $(VENV)/test.done ## how many seeds find each deliberate bug, and by how small a script (half an hour)
	$(BIN)/python -m tests.simulation.planted

survival: $(VENV)/test.done ## damage under load: flushes, servers that stand still, everything killed, bad requests
	$(BIN)/python -m pytest -q -n 2 tests/survival

figures: $(VENV)/test.done ## how long until a lost worker's step runs again, and killed PostgreSQL is ready again
	$(BIN)/python -m tests.survival.figures

idle: $(VENV)/test.done ## what a system costs a minute in which 100,000 sagas wait: statements, commands, processor time
	$(BIN)/python -m tests.survival.idle

starts: $(VENV)/test.done ## how long `amends --help`, a worker and `amends up` take to start
	$(BIN)/python -m tests.survival.starts

prover: $(VENV)/test.done ## how long it takes to prove sagas of 12 steps, of which at most 4 run at once
	$(BIN)/python -m tests.property.proving

wheel: $(VENV)/run.done ## the wheel in an empty environment: its sagas, and the demo from another folder
	scripts/check-wheel

bench: $(VENV)/run.done ## sagas a second of Amends and of other systems, an hour (SYSTEMS=, WINDOW=, ROUNDS=, DOCUMENT=)
	$(BIN)/amends bench --workload forward,compensating --window $(WINDOW) --rounds $(ROUNDS) --statements \
	  $(if $(SYSTEMS),--systems $(SYSTEMS)) $(if $(DOCUMENT),--document $(DOCUMENT))

peers: $(VENV)/run.done ## the other systems for `make bench`, into .bench/ (two of them need Node.js)
	$(BIN)/python -m bench.peers

lock: ## requirements/*.txt anew (needs uv)
	scripts/lock

$(VENV)/bin/python:
	scripts/make-venv $(VENV)

# Compiled here once: where Python is told to write no bytecode, each process would compile everything anew.
$(VENV)/%.done: requirements/%.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $<
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --no-index -e .
	$(BIN)/python -m compileall -q $(wildcard $(CODE))
	@touch $@ $(if $(filter test check,$*),$(VENV)/run.done) $(if $(filter check,$*),$(VENV)/test.done)
