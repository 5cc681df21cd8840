# Everything happens in $(VENV), which the first target that needs it makes. A stamp file for each set of extras
# says that it is installed; only a change of pyproject.toml or constraints.txt installs again.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install -c constraints.txt

extras-demo := [pictures]
extras-test := [test,dev]
extras-docs := [docs]
extras-benchmark := [benchmark]
extras-rivals := [benchmark,rivals]
STAMPS := $(foreach set,demo test docs benchmark rivals,$(VENV)/.installed-$(set))

BENCHMARKS = $(basename $(notdir $(shell grep -ls '__main__' benchmarks/*.py)))

.PHONY: help demo test lint docs wheel benchmarks-quick rivals clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make demo              reconstruct real pictures with trained networks; open demo/index.html afterwards'
	@echo 'make test              lint, types and tests'
	@echo 'make lint              lint and types alone'
	@echo 'make docs              the documentation, with every example executed, in docs/_build/html'
	@echo 'make wheel             the package as dist/metaopt_torch-*.whl'
	@echo 'make benchmarks-quick  every benchmark on little data; writes nothing'
	@echo 'make rivals            PGMax and pgmpy, for python -m benchmarks.graphical_models'
	@echo 'make clean             remove what these made, but for $(VENV)'
	@echo 'PYTHON=python3.12 make ...  takes another interpreter for $(VENV)'

demo: $(VENV)/.installed-demo
	$(BIN)/metaopt demo --out demo

test: lint
	$(BIN)/python -m pytest -q

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs docs/_build/html
	@echo 'The documentation is in docs/_build/html/index.html'

# build/ is emptied first: setuptools would pack what an earlier version left there too.
wheel: $(VENV)/.made
	rm -rf build dist
	$(BIN)/python -m pip --disable-pip-version-check -qq wheel --no-deps -w dist .
	@ls dist/*.whl

# A benchmark that lacks data ends with 77 and a sentence; failures are told together at the end.
benchmarks-quick: $(VENV)/.installed-benchmark
	@skipped=; failed=; for name in $(filter-out check readme,$(BENCHMARKS)); do \
	    echo "== python -m benchmarks.$$name --quick"; status=0; \
	    $(BIN)/python -m benchmarks.$$name --quick || status=$$?; \
	    case $$status in 0) ;; 77) skipped="$$skipped $$name";; 130) exit 130;; *) failed="$$failed $$name";; esac; \
	done; \
	echo "Skipped:$${skipped:- none}"; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

rivals: $(VENV)/.installed-rivals
	@$(PIP) --no-deps pgmax==0.6.1 pgmpy==1.1.2

clean:
	rm -rf demo build dist *.egg-info docs/_build docs/gallery docs/generated
	rm -rf .pytest_cache .hypothesis .ruff_cache .coverage
	find metaopt tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

$(STAMPS): $(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/.made
	@echo 'Installing metaopt$(extras-$*) into $(VENV); this takes 1 to 5 minutes, most of it for PyTorch ...'
	@$(PIP) -e '.$(extras-$*)'
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "metaopt needs Python 3.10 or newer, but \
	$(PYTHON) is %d.%d; name a newer one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version_info[:2])'
	@echo 'Making $(VENV) with $(PYTHON) ...'
	@$(PYTHON) -m venv $(VENV) || { echo 'Python cannot make a virtual environment here; on Debian and Ubuntu, install its \
	package python3-venv.' >&2; exit 1; }
	@touch $@
