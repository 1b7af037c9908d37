# Every target sets up what it needs; a fresh machine needs Python 3.11 with pip and venv, and make.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$python; break; }; done)
VENV   := .venv
BIN    := $(VENV)/bin
ROWS   ?=
FIGURE ?=
STORE  ?= sqlite
# Byte code is made once, here: where PYTHONDONTWRITEBYTECODE is set, each process would compile all that it imports.
SYNC   := $(BIN)/uv sync --quiet --frozen --inexact --compile-bytecode

# No test's database need survive a power cut: where memory has the room, none waits for a disk.
MEMORY := $(shell [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')" -gt 4000000 ] 2>/dev/null && echo /dev/shm)

.PHONY: setup compiled demo test check format bench soak clean

setup: compiled

compiled: $(VENV)/.installed
	@$(BIN)/python -m compileall -q engine workers

$(VENV)/.installed: pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python3.11)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	@$(SYNC)
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	@$(SYNC) --extra dev
	@touch $@

demo: setup
	@$(BIN)/yanshu demo

check: $(VENV)/.developing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.developing
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check compiled
	@tests/services.sh
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/pytest -n 2 --dist loadgroup

bench: $(VENV)/.developing compiled
	$(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS))

soak: $(VENV)/.developing compiled
	$(BIN)/python -m tests.soak --figure $(FIGURE) --store $(STORE)

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
