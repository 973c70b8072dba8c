# make demo: a curve in a few minutes.  make test: everything.  make test-fast: between edits.  make lint: as CI does it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDIO := .studio
REFERENCES := .references
# one torch thread per test process: two processes of two threads each on two cores are many times slower
PYTEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test test-fast lint format clean
.DEFAULT_GOAL := demo

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# a real Label Studio for the tests, in an environment of its own: its versions and ours exclude each other
$(STUDIO)/.ready: alloop/studio-requirements.txt
	$(PYTHON) -m venv --clear $(STUDIO)
	$(STUDIO)/bin/python -m pip install --quiet --requirement $<
	touch $@

# other libraries of active learning, which the strategies are compared with, in an environment of their own as well
$(REFERENCES)/.ready: tests/references/requirements.txt
	$(PYTHON) -m venv --clear $(REFERENCES)
	$(REFERENCES)/bin/python -m pip install --quiet --requirement $<
	touch $@

demo: $(VENV)/.ready
	@rm -rf demo
	$(BIN)/alloop init demo --from projects/support-desk
	$(BIN)/alloop run demo --until-labels 200
	$(BIN)/alloop report demo
	@$(BIN)/alloop report demo --png demo/reports/curve.png
	@echo
	@echo "Written: demo/alloop.db (every label, pick and number), demo/rounds/ (models), demo/reports/curve.png (the curve)"
	@echo "With your own texts, in the browser (without \`studio up\`, label them with: $(BIN)/alloop label my-project):"
	@echo "    $(BIN)/alloop studio up             # once: Label Studio, 1 GB"
	@echo "    $(BIN)/alloop init my-project --data my.csv --labels first,second,third --round"
	@echo "    $(BIN)/alloop round my-project      # when they are labelled: trains, measures, asks about the next"

test: $(VENV)/.ready $(STUDIO)/.ready $(REFERENCES)/.ready
	$(PYTEST)

test-fast: $(VENV)/.ready
	$(PYTEST) -m "not slow"

lint: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(STUDIO) $(REFERENCES) demo build
