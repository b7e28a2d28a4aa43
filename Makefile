# make demo | test | test-slow | test-lab | lint | bench | gallery: each makes .venv first, in a second after the first time.
#
# Written for Debian and Ubuntu; for macOS too, but untested there. Needs Python >= 3.10 and make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A process a core, four at most for their memory. What a file's tests share is made once.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-lab lint bench gallery address clean

demo: $(READY)
	$(BIN)/facedepth demo -o outputs/demo --overwrite

test: $(READY)
	$(PYTEST) -m "not slow and not lab"

test-slow: $(READY)
	@sh .ci/system-packages chromium
	$(PYTEST) -m slow --ignore tests/test_recipe.py
	$(BIN)/python -m pytest -m slow tests/test_recipe.py

test-lab: $(READY)
	@sh .ci/system-packages chromium
	$(BIN)/python -m pytest -m lab

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/nbstripout --verify colab_notebooks/*.ipynb

bench: $(READY)
	$(BIN)/python -m benchmarks

# The README's pictures, by the shipped weights.
gallery: $(READY)
	@sh .ci/system-packages chromium
	$(BIN)/python assets/gallery.py

# Links in the README and the notebooks follow the address in pyproject.toml.
address:
	$(PYTHON) .ci/address.py

clean:
	rm -rf $(VENV) .uv

# uv takes torch and torchvision as a matching pair from PyPI. It is used from the PATH, or put into .uv by pip.
$(READY): requirements.txt pyproject.toml setup.py .ci/system-packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "facedepth needs Python >= 3.10; $(PYTHON) is `$(PYTHON) --version 2>&1`. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@PYTHON=$(PYTHON) sh .ci/system-packages
	@command -v uv >/dev/null || test -x .uv/bin/uv || $(PYTHON) -m pip install --quiet --target .uv uv
	PATH="$$PATH:$(CURDIR)/.uv/bin" && export UV_SYSTEM_CERTS=true && \
	  uv venv --quiet --allow-existing --no-python-downloads --python "$$(command -v $(PYTHON))" $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	@touch $@
