# Everything one does with the product, from a bare machine on. `make` alone lists it.

PYTHON := .venv/bin/python
FLASK  := .venv/bin/flask --app run
.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## virtual environment, pinned packages, browser libraries, translations
	@scripts/setup.sh run

.PHONY: setup-test
setup-test:  ## setup, plus MariaDB, Redis and Chromium for the tests
	@scripts/setup.sh test

.PHONY: run
run: setup  ## serve on http://127.0.0.1:8000 (CRM_PORT), on SQLite unless CRM_DATABASE_URL says otherwise
	@exec $(PYTHON) run.py

.PHONY: test
test: setup-test  ## run all tests; ARGS="-k tickets" selects some
	@$(if $(ARGS),$(PYTHON) -m pytest -q -n auto --dist loadgroup $(ARGS),scripts/test.sh)

.PHONY: check
check: setup-test  ## lint, format, types, that imports only point down, names in comments, and known vulnerabilities
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(PYTHON) scripts/check_names_in_text.py
	$(PYTHON) scripts/audit.py

.PHONY: pins
pins:  ## make the hashes of the pinned packages anew, after a pin was changed
	$(PYTHON) scripts/pin_hashes.py

.PHONY: mutants
mutants: setup-test  ## mutation testing of app/domain and app/access; ARGS="app/domain/working_time/sla.py --sample 40 --diffs"
	@$(PYTHON) scripts/mutants.py $(ARGS)

.PHONY: check-translations
check-translations: setup-test  ## check that every text is translated into Hindi, Gujarati and Marathi
	$(PYTHON) scripts/check_translations.py

.PHONY: demo
demo: setup  ## load demo people, customers, leads and tickets
	@$(FLASK) demo load

.PHONY: bench
bench: setup-test  ## run the benchmarks
	@$(PYTHON) -m bench $(ARGS)

.PHONY: stack
stack: setup  ## start the whole single-server house on free ports (nginx, MariaDB, Redis …); its data stays in instance/stack
	@$(PYTHON) deploy/stack.py start $(FOLDER)

.PHONY: stack-status
stack-status:  ## which processes of the stack run
	@$(PYTHON) deploy/stack.py status $(FOLDER)

.PHONY: stack-stop
stack-stop:  ## stop the stack
	@$(PYTHON) deploy/stack.py stop $(FOLDER)

.PHONY: upgrade
upgrade: setup  ## back up the database and the files, migrate the database, check the result, restart the servers
	@scripts/upgrade.sh

.PHONY: restore
restore: setup  ## restore a backup into the CRM's database: NAME=20261126T203000Z, ARGS=--overwrite to replace what is there
	@scripts/restore.sh $(NAME) $(if $(NAME),$(ARGS))
