# Two commands do it all on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

STEPS  ?= 1000000
RUNS   ?= 40

.PHONY: demo test thorough test-gerrit check bench simulate lockstep crash clean venv

demo: venv              ## the main job on a simulated Gerrit and Jenkins, in under a minute
	@$(BIN)/ci-gate demo

test: venv check        ## linters, types, floors, unit, protocol and end-to-end tests
	@PYTHON="$(BIN)/python" scripts/system-packages gearmand mariadbd postgres nginx fcgiwrap apache2
	@$(BIN)/pytest -n 5 --dist loadgroup  # most of a test is waiting

thorough: venv          ## what is once more the same, on other servers, databases and ways of ending; after make test
	@PYTHON="$(BIN)/python" scripts/system-packages gearmand postgres
	@$(BIN)/pytest -m thorough -n 2 --dist loadgroup

test-gerrit: venv       ## the service on a real Gerrit, which Maven fetches once (115 MB)
	@PYTHON="$(BIN)/python" scripts/system-packages gearmand java mvn
	@$(BIN)/pytest -m real_gerrit -n 2 --dist loadfile tests/real_gerrit

check: venv             ## ruff, mypy --strict and the floors
	@$(BIN)/ruff check ci_gate tests bench
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: venv             ## measure what the README claims; writes bench/results.md
	@PYTHON="$(BIN)/python" scripts/system-packages gearmand nginx fcgiwrap postgres
	@$(BIN)/python -m bench

simulate: venv          ## STEPS=… steps of random histories against the scheduler; a failing one is made short and replays
	@PYTHONPATH=tests/simulation $(BIN)/python tests/simulation/simulate.py $(STEPS)

lockstep: venv          ## the same against a slow reference: STEPS=… steps, each with the same effects in the same order
	@PYTHONPATH=tests/simulation $(BIN)/python tests/simulation/lockstep.py $(STEPS)

crash: venv             ## RUNS=… times the service is killed five times under load; SEED=… for one that failed
	@PYTHON="$(BIN)/python" scripts/system-packages gearmand
	@PYTHONPATH=tests/crash:tests $(BIN)/python tests/crash/crash_run.py $(RUNS) $(SEED)

venv: $(STAMP)

$(STAMP): pyproject.toml scripts/make-venv
	@PYTHON="$(PYTHON)" scripts/make-venv $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
