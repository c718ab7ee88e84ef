# What you need to type; README.md says more. Each target does all the set-up that it needs, in .venv here.

.PHONY: run test lint types format fuzz bench soak etc/netsvc.toml man install uninstall wheel-check clean .moved

VENV := .venv/bin
# Two workers whatever the machine has, so that a run here and one elsewhere are alike. worksteal keeps most of a
# file's tests, and the daemon that they share, in one worker; loadfile and loadgroup, which would keep all of
# them there, wait for ever after a worker was lost.
PYTEST := $(VENV)/python -m pytest -n 2 --dist worksteal
# A test that hangs fails, by name and with the place where it hangs, and the others go on.
HANG := -o faulthandler_timeout=120 -o faulthandler_exit_on_timeout=true

# An environment holds its own path: one that was moved or copied is made anew.
MOVED := $(shell grep -qsF '$(CURDIR)/.venv/' .venv/bin/pip || echo .moved)
# Errors only: what a package index warns of is nothing that can be mended here.
PIP_INSTALL := $(VENV)/python -m pip -qq --no-input --disable-pip-version-check install

run: .venv/ready-to-run
	@exec $(VENV)/twistd -n --pidfile= netsvc $(ARGS)

test: lint types
	@setup/test-programs.sh
	$(PYTEST) $(HANG) $(ARGS)

lint: .venv/ready-to-test
	$(VENV)/ruff format --check --quiet
	$(VENV)/ruff check --quiet

types: .venv/ready-to-test
	$(VENV)/mypy netsvc tests

format: .venv/ready-to-test
	$(VENV)/ruff check --fix-only --quiet
	$(VENV)/ruff format --quiet

# The tests that feed made inputs to every parser and protocol, with far more of them than `make test` has; then
# exploring for so many SECONDS with each target, by the code that its inputs reach. What that finds is kept.
SECONDS := 60
fuzz: .venv/ready-to-fuzz
	NETSVC_FUZZ_INPUTS=1000000 $(PYTEST) $(ARGS) tests/fuzz
	$(VENV)/python -m tests.fuzz.guided --seconds $(SECONDS)

# What shows only in time or in numbers: 100,000 connections that come and go at once, an hour of mixed load and
# attacks, then a daemon that is reloaded, restarted and killed under load, again and again.
# ARGS='--minutes 10 --reloads 20 --restarts 20 --kills 20' is less of it.
soak: .venv/ready-to-test
	NETSVC_STORM=100000 $(VENV)/python -m pytest -q tests/live/test_hostile_storms.py
	$(VENV)/python -m tests.soak $(ARGS)

# What time is judged by: netsvc beside others in the same run. ARGS=--write also writes the page of the figures.
bench: .venv/ready-to-bench
	@setup/bench-programs.sh
	$(VENV)/python -m bench $(ARGS)

# The annotated configuration file, from the definitions of the settings.
etc/netsvc.toml: .venv/ready-to-run
	$(VENV)/python -m netsvc.annotate >$@.new
	mv $@.new $@

# The manual pages, from the commands' help and the definitions of the settings.
man: .venv/ready-to-run
	$(VENV)/python -m netsvc.commands.manual >etc/man/netsvc.1.new
	mv etc/man/netsvc.1.new etc/man/netsvc.1
	$(VENV)/python -m netsvc.manual >etc/man/netsvc.toml.5.new
	mv etc/man/netsvc.toml.5.new etc/man/netsvc.toml.5

# For the whole machine, or below DESTDIR for another one: the daemon in an environment of its own, the command,
# the manual, the units and a configuration. docs/operating.md says what is where, and what uninstall leaves.
PREFIX := /usr/local
SYSCONFDIR := /etc
UNITDIR := $(PREFIX)/lib/systemd/system
INSTALLATION := DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' UNITDIR='$(UNITDIR)' setup/installation.sh

install: .venv/ready-to-run
	@$(INSTALLATION) install

uninstall:
	@$(INSTALLATION) uninstall

# Builds the wheel, installs it elsewhere and uses it there.
wheel-check: .venv/ready-to-test
	$(VENV)/python -m tests.wheel_check

clean:
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache twisted/plugins/dropin.cache
	find netsvc tests twisted bench -name __pycache__ -prune -exec rm -rf {} +

.venv/ready-to-run: pyproject.toml setup/venv.sh $(MOVED)
	@setup/venv.sh
	@echo "installing netsvc and what it needs in .venv"
	@$(PIP_INSTALL) -e .
	@touch $@

.venv/ready-to-test: .venv/ready-to-run
	@echo "installing what its tests need in .venv"
	@$(PIP_INSTALL) -e '.[test]'
	@touch $@

.venv/ready-to-fuzz: .venv/ready-to-test
	@echo "installing what inputs are explored with in .venv"
	@$(PIP_INSTALL) -e '.[fuzz]'
	@touch $@

.venv/ready-to-bench: .venv/ready-to-test
	@echo "installing what netsvc is measured with in .venv"
	@$(PIP_INSTALL) -e '.[bench]'
	@touch $@
