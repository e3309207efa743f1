"""The ways in which this machine can run a model, each compared with the plainest of them.

The reference answers one prompt at a time, without drafts and without shared prefixes. Its own answers are checked by
passes over whole texts, so that an error that all ways have in common is found too.

Half precision has a reference and a judge of its own. Rounding the weights makes another model, whose answers may well
differ from those in float32 without any fault; what must hold is that in half precision too all ways agree.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters import mamba_kernels
from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.self_test import FAILURES
from copy_eval.verification.comparing import Answers, Comparison, Request, Verification, compare
from copy_eval.verification.judging import ModelJudge
from copy_eval.verification.prompts import select_fitting

REFERENCE = "reference"
"""One prompt at a time, no drafts, no shared prefixes; its row says how that agrees with passes over whole texts."""

Load = Callable[..., ExactLM]
"""Loads the model, with the arguments given beside its own or in their place."""

Tell = Callable[[str], None]
"""Is told the name of a way before it is run."""


def verify_model(name: str, load: Load, every: Sequence[Request], rows: int, tell: Tell) -> Verification:
    """Let the model answer the requests in every way, one after the other.

    Args:
        name: of the model.
        load: is called once for each way that needs another model: other kernels, half precision.
        every: the requests; those that exceed the model's context are left out.
        rows: prompts in a batch at most.
        tell: see ``Tell``.

    Raises:
        UserError: if the model cannot be loaded, or no request fits its context.
    """
    tell("loading the model")
    model = load()
    dtype = next(model.model.parameters()).dtype
    device = model.device.type
    requests, left_out = select_fitting(every, model.context_length, model.tok_encode)
    if not requests:
        raise UserError(f"no prompt of the verification fits a context of {model.context_length} tokens")
    notes = []
    if left_out:
        names = ", ".join(request.name for request in left_out)
        notes.append(f"not asked, as they exceed the context of {model.context_length} tokens: {names}")
    bench = Bench(model, requests, rows, tell)
    comparisons = [bench.check_reference(), *bench.compare_parts(), bench.compare_all_together(), bench.compare_hf()]
    if isinstance(model, MambaLM):
        comparisons.append(bench.compare_without_kernels(model, load))
    del model, bench  # another model is loaded
    _free_memory()
    if dtype in (torch.bfloat16, torch.float16):
        comparisons.append(Comparison("bfloat16", len(requests), unused=f"all ways above are in {_name_of(dtype)}"))
    else:
        tell("loading the model in bfloat16")
        half = Bench(load(dtype="bfloat16"), requests, rows, tell, ", bfloat16")
        comparisons += [half.check_reference(), half.compare_all_together()]
    subject = f"{name}: {_name_of(dtype)} on {device}, {len(requests)} prompts, {rows} in a batch"
    return Verification(subject, tuple(comparisons), tuple(notes))


class Bench:
    """A model with its reference answers, which other answers are compared with."""

    def __init__(self, model: ExactLM, requests: Sequence[Request], rows: int, tell: Tell, suffix: str = "") -> None:
        """Ask the reference.

        Args:
            model: whose ways are compared.
            requests: what it is asked.
            rows: prompts in a batch at most.
            tell: see ``Tell``.
            suffix: of the names of the ways.
        """
        self._model, self._requests, self._rows, self._tell, self._suffix = model, requests, rows, tell, suffix
        with model.restricted_to(1, drafts=False, prefixes=False):
            self._reference = self._ask(REFERENCE, model)
        self._judge = ModelJudge(model)

    def check_reference(self) -> Comparison:
        """Compare the reference with passes over whole texts."""
        return self._judge.check(self._requests, self._reference)

    def compare_parts(self) -> Iterator[Comparison]:
        """Compare each of the means by which our adapters are quick, by itself."""
        model = self._model
        for way, taken, rows, drafts, prefixes in (
            ("batch", model.takes_batches, self._rows, False, False),
            ("drafts", model.takes_drafts, 1, True, False),
            ("shared prefixes", model.shares_prefixes, 1, False, True),
        ):
            if taken:
                with model.restricted_to(rows, drafts, prefixes):
                    yield self._compare(self._ask(way, model))
            else:
                yield self._unused(way, "copy-eval does without it here: the model was not found fit for it")

    def compare_all_together(self) -> Comparison:
        """Compare a batch with drafts and shared prefixes, as far as the model takes them: the adapters' default."""
        with self._model.restricted_to(self._rows, drafts=True, prefixes=True):
            return self._compare(self._ask("all together", self._model))

    def compare_hf(self) -> Comparison:
        """Compare lm-eval's ``hf``, one prompt at a time, with the same weights in the same memory."""
        way = "lm-eval's hf"
        if not isinstance(self._model.model, PreTrainedModel):
            return self._unused(way, "the model in memory is mamba-ssm's, which transformers' generate cannot run")
        with _loaded_on_purpose():
            hf = HFLM(
                pretrained=self._model.model,
                tokenizer=self._model.tokenizer,
                backend="causal",
                add_bos_token=self._model.add_bos_token,
                mixed_precision_dtype=self._model.mixed_precision_dtype,
            )
        try:
            return self._compare(self._ask(way, hf))
        except FAILURES as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return self._unused(way, f"it fails with this model ({type(error).__name__}: {first_line(error)})")

    def compare_without_kernels(self, model: MambaLM, load: Load) -> Comparison:
        """Compare transformers' Mamba with mamba-ssm's kernels, where these are the reference."""
        way = "without kernels"
        if model.kernels is not None:
            self._tell("loading the model without kernels")
            return self._compare(self._ask(way, load(use_kernels=False, batch_size=self._rows)))
        if model.device.type != mamba_kernels.DEVICE_TYPE:
            return self._unused(way, "not on this machine: the kernels of mamba-ssm run on CUDA only")
        why_not = mamba_kernels.why_no_kernels() or "they were refused or switched off when the model was loaded"
        return self._unused(way, f"no way above has the kernels of mamba-ssm: {why_not}")

    def _ask(self, way: str, model: HFLM) -> Answers:
        self._tell(way + self._suffix)
        instances = [
            Instance("generate_until", {}, (request.prompt, _generation_arguments(request)), place)
            for place, request in enumerate(self._requests)
        ]
        start = time.perf_counter()
        texts = model.generate_until(instances, disable_tqdm=True)
        return Answers(way + self._suffix, texts, time.perf_counter() - start)

    def _compare(self, answers: Answers) -> Comparison:
        return compare(self._requests, self._reference, answers, self._judge)

    def _unused(self, way: str, why: str) -> Comparison:
        return Comparison(way + self._suffix, len(self._requests), unused=why)


_hf_log = logging.getLogger("lm_eval.models.huggingface")


@contextmanager
def _loaded_on_purpose() -> Iterator[None]:
    """Take lm-eval's warnings of a model that was loaded before from the log; all others stay."""
    beginnings = ("`pretrained` model kwarg is not of type `str`", "Passed an already-initialized model")

    def is_other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(beginnings)

    _hf_log.addFilter(is_other)
    try:
        yield
    finally:
        _hf_log.removeFilter(is_other)


def _generation_arguments(request: Request) -> dict[str, Any]:
    return {"until": list(request.until), "max_gen_toks": request.most, "do_sample": False}


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
