# The verbs of this house; `make` alone lists them.
PY := .venv/bin/python
CS := .venv/bin/countersign
ARGS ?=

.PHONY: help setup fast test evidence long journeys golden demo serve rebuild verify validate mutants

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## make .venv from the hash locks (quick when nothing changed)
	@python3 install.py

fast: ## pure tests, lint, types, floors; before each commit
	@python3 install.py --tests
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q -n 2 tests/architecture tests/unit

test: ## install, then all tests that need nothing outside this machine
	@python3 install.py --tests
	$(PY) -m pytest -n 2 -m "not journey" $(ARGS)

long: ## thousands of random ledgers, hundreds of killed writers; COUNTERSIGN_SEED=n repeats a run
	@python3 install.py --tests
	HYPOTHESIS_PROFILE=night $(PY) -m pytest -n 2 -rP tests/audit/test_two_verifiers_agree.py \
		tests/contracts/test_killed_writers.py $(ARGS)

evidence: ## every test, journeys too, with evidence.json for `countersign validate release --tests evidence.json`
	@python3 install.py --tests
	$(PY) -m pytest -n 2 --evidence=evidence.json $(ARGS)

journeys: ## browser, DICOM peers, whole demonstrations
	@python3 install.py --tests
	$(PY) -m pytest -m journey $(ARGS)

mutants: ## small changes of our code that a test must notice, by hours  (PIECE=entry ...; without one: the report)
	@python3 install.py --beside mutants
	PYTHONPATH=$(CURDIR)/.venv-mutants $(PY) -m tests.mutants $(PIECE)

golden: ## write the golden files anew; review the difference as code
	COUNTERSIGN_GOLDEN=write $(PY) -m pytest -q -n0 -m "not journey" $(ARGS)

demo: ## install, then a whole trial in a fresh home, to the signed appendix  (ARGS="--data DIR --home DIR")
	@python3 install.py
	$(CS) demo --fresh $(ARGS)

serve: ## the pages and the API on this machine
	@python3 install.py
	$(CS) serve $(ARGS)

rebuild: ## fold the record anew and compare with the live tables
	$(CS) ledger rebuild $(ARGS)

verify: ## check a bundle, report or SR offline: make verify FILE=...
	@test -n "$(FILE)" || { echo "Name the file: make verify FILE=bundle.zip"; exit 1; }
	$(CS) verify "$(FILE)" $(ARGS)

validate: ## qualify this installation: IQ and OQ, to the signed report  (ARGS="--as USER")
	@python3 install.py
	$(CS) validate installation $(ARGS)
