# Every target makes its environment on first use, and again when the requirements change. Another Python: make test PYTHON=python3.13

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
LOWEST := .venv-lowest/installed
MAMBA_SSM := .venv/mamba-ssm

# Few prompts, so that it ends within minutes on two cores; the intervals say how few.
DEMO := --batch_size 16 --log_samples --output_path demo/results --metadata
PHONEBOOK := $(DEMO) num_samples=64 --tasks phonebook_copy
# C4 is not at hand offline: the text is the documentation of the data sets that scikit-learn carries.
COPY := $(DEMO) num_samples=64,c4_path=demo/text.txt,length_tokenizer=tiny-pythia --tasks c4_copy_25,c4_copy_50,c4_copy_100,c4_copy_200

EXPERIMENTS := data-efficiency length-generalization ngram-lookup duplicates recall
SYNTHETIC := demo/synthetic

.PHONY: demo synthetic test test-lowest test-mamba-ssm zoo gpu check

demo: $(INSTALLED)
	@mkdir -p demo && cat .venv/lib/python3*/site-packages/sklearn/datasets/descr/*.rst > demo/text.txt
	$(BIN)/lm_eval run --model pythia --model_args pretrained=tiny-pythia $(PHONEBOOK)
	$(BIN)/lm_eval run --model mamba_ssm --model_args pretrained=tiny-mamba $(PHONEBOOK)
	$(BIN)/lm_eval run --model pythia --model_args pretrained=tiny-pythia $(COPY)
	$(BIN)/lm_eval run --model mamba_ssm --model_args pretrained=tiny-mamba $(COPY)
	$(BIN)/copy-eval report demo/results --out demo

# Trains, evaluates and reports one experiment after the other: hours on two cores. Each command skips what is done, so
# the same goes on where it was stopped. One of them: make synthetic EXPERIMENTS=recall
synthetic: $(INSTALLED)
	@set -e; for experiment in $(EXPERIMENTS); do \
		folder=$(SYNTHETIC)/$$(basename $$experiment .yaml); \
		$(BIN)/copy-eval train $$experiment --out $$folder/models; \
		for suite in $$folder/models/suite-*.yaml; do \
			$(BIN)/copy-eval run $$suite --out $$folder/results/$$(basename $$suite .yaml); \
		done; \
		$(BIN)/copy-eval report $$folder/results --out $$folder/report; \
	done

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

# mamba-ssm's own Python on a CPU. Apart from the other tests and outside the environment, since transformers too takes
# the package where it can be imported. Without a package index they are skipped, and the last lines say so.
test-mamba-ssm: $(INSTALLED)
	@$(MAKE) --silent $(MAMBA_SSM)/installed || echo 'mamba-ssm could not be had: its tests are skipped'
	PYTHONPATH=$(MAMBA_SSM) COPY_EVAL_AUTOLOAD=0 OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest -rs --numprocesses auto tests/model_adapters/with_mamba_ssm

$(MAMBA_SSM)/installed: tests/model_adapters/with_mamba_ssm/requirements.txt $(INSTALLED)
	MAMBA_SKIP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE CAUSAL_CONV1D_SKIP_CUDA_BUILD=TRUE CAUSAL_CONV1D_FORCE_BUILD=TRUE \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-binary mamba-ssm,causal-conv1d \
		--upgrade --target $(MAMBA_SSM) --requirement $<
	@touch $@

# Not the test of constraints.txt, which compares it with what is installed; nor the tests of adapters and trainer, which
# rest on torch and transformers alone, of the same versions in both environments. Whole runs through them are there.
test-lowest: $(LOWEST)
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest --numprocesses auto --dist loadfile \
		--ignore tests/model_adapters --ignore tests/architectures --ignore tests/training --ignore tests/benchmarks \
		--deselect tests/test_packaging.py::test_the_constraints_hold_everything_that_is_required_directly_or_not

# In the environment of $(PYTHON), whose PyTorch fits the GPU and mamba-ssm, not in one made here.
gpu:
	$(PYTHON) -m benchmarks.gpu

# Nearly every causal model type of transformers, tiny and with random weights, in a batch with drafts and alone.
zoo: $(INSTALLED)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.model_adapters.zoo demo/zoo.md

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell

$(INSTALLED): pyproject.toml constraints.txt
	$(call install,.venv,constraints.txt)

$(LOWEST): pyproject.toml constraints-lowest.txt
	$(call install,.venv-lowest,constraints-lowest.txt)

define install
@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("copy-eval needs Python 3.11 or newer, and $(PYTHON) is %d.%d; name another one with PYTHON=..." % sys.version_info[:2])'
$(PYTHON) -m venv $(1)
$(1)/bin/python -m pip install --constraint $(2) --editable '.[dev,training]'
@touch $(1)/installed
endef
