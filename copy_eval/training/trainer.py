"""Trains one model of an experiment: one loop for all architectures, with a state to go on from.

A run's folder::

    string_copy/rope-seed0/
      step1000/       a checkpoint that every adapter loads; the step counts training examples
      step10000/
      training.csv    loss and accuracy, as they fell and rose
      training.pt     what a run that was stopped goes on from; gone at the end

Each example is seen once. So the accuracy on a batch, before the model learns from it, is that on new examples.
"""

import csv
import io
import json
import math
import pickle
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from copy_eval.errors import UserError, first_line
from copy_eval.files import write_whole
from copy_eval.training.alphabet_tokenizer import build_tokenizer
from copy_eval.training.architectures import ARCHITECTURES
from copy_eval.training.examples import PackedBatch, draw_examples, pack
from copy_eval.training.experiment import TrainingRun
from copy_eval.training.models import hidden_states

STATE = "training.pt"
_UNFINISHED_STATE = f".{STATE}"
CURVE = "training.csv"

_BETAS = (0.9, 0.98)
_WEIGHT_DECAY = 0.05
_WARM_UP = 0.05  # of the run; then the rate falls linearly to zero
_LARGEST_GRADIENT = 1.0
_STEPS_A_ROW = 20  # of the curve
_SECONDS_BETWEEN_SAVES = 60.0


class DivergedError(UserError):
    """A loss or a gradient that is no number: this run cannot go on, others can."""


@dataclass(slots=True)
class _State:
    """What a run has to remember to go on."""

    run: TrainingRun
    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    examples: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """Examples, loss and accuracy; averages of the steps since the row before."""
    recent: list[tuple[float, float]] = field(default_factory=list)
    """Loss and accuracy of the steps that are in no row yet."""

    def save(self, folder: Path) -> None:
        """Write the state under another name and rename it, so that a kill leaves the last whole one."""
        content = {
            "run": _identity(self.run),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "examples": self.examples,
            "curve": self.curve,
            "recent": self.recent,
        }
        # torch's own writer tells a full disk as an error of its own format.
        buffer = io.BytesIO()
        torch.save(content, buffer)
        unfinished = folder / _UNFINISHED_STATE
        with _writing(unfinished):
            unfinished.write_bytes(buffer.getbuffer())
            unfinished.replace(folder / STATE)
            write_whole(folder / CURVE, _to_csv(self.curve))

    def restore(self, folder: Path, device: torch.device) -> None:
        """Go on from what ``save`` wrote, if it did.

        Raises:
            UserError: if the file cannot be read, or is of another run.
        """
        file = folder / STATE
        if not file.exists():
            return
        try:
            content = torch.load(file, map_location=device, weights_only=True)
            there = content["run"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            reason = first_line(error) or type(error).__name__
            raise UserError(f"cannot read {file} ({reason}); delete it to begin this model anew") from error
        if there != _identity(self.run):
            raise UserError(f"{file} is of another experiment: name another folder with --out")
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.examples = content["examples"]
        self.curve = [tuple(row) for row in content["curve"]]
        self.recent = [tuple(step) for step in content["recent"]]


def _identity(run: TrainingRun) -> str:
    return json.dumps({"run": run.name, "size": run.size, "scale": run.scale.model_dump()}, sort_keys=True)


def _to_csv(curve: list[tuple[int, float, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("examples", "loss", "string_accuracy"))
    writer.writerows((examples, f"{loss:.6g}", f"{accuracy:.4f}") for examples, loss, accuracy in curve)
    return text.getvalue()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Make one line of what goes wrong with writing ``path``, and leave nothing of it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(
            f"cannot write {path.parent}: {reason}; the same command then goes on from what was saved before"
        ) from error


def is_done(run: TrainingRun, folder: Path) -> bool:
    """Tell whether the last checkpoint is there."""
    return _checkpoint(folder, run.scale.examples).is_dir()


def _checkpoint(folder: Path, examples: int) -> Path:
    return folder / f"step{examples}"


def train_run(run: TrainingRun, folder: Path, device: torch.device, title: str) -> None:
    """Train a model, or go on with it, and write its checkpoints.

    Args:
        run: what is trained.
        folder: of its checkpoints; made if it is not there.
        device: where.
        title: before the progress line.

    Raises:
        DivergedError: if the loss is no number any more; what was saved before is left.
        UserError: if something cannot be read or written.
    """
    torch.manual_seed(run.seed)
    model: Any = ARCHITECTURES[run.architecture].build(run.size)
    model.to(device)
    if device.type == "cuda" and ARCHITECTURES[run.architecture].compiles:
        model.base_model.compile()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=run.scale.learning_rate, betas=_BETAS, weight_decay=_WEIGHT_DECAY
    )
    state = _State(run, model, optimizer)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    state.restore(folder, device)
    model.train()
    saved = time.monotonic()
    with tqdm(
        total=run.scale.examples, initial=state.examples, desc=title, unit=" examples", smoothing=0.02,
        mininterval=0.5 if sys.stderr.isatty() else 30, dynamic_ncols=True,
    ) as bar:  # fmt: skip
        while state.examples < run.scale.examples:
            loss, accuracy = _take_step(state, device)
            bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.2f}", refresh=False)
            bar.update(run.scale.batch)
            if state.examples in run.points:
                _export(model, _checkpoint(folder, state.examples))
                bar.write(f"{run.name}: {_describe(state)}", file=sys.stderr)
            if time.monotonic() - saved >= _SECONDS_BETWEEN_SAVES:
                state.save(folder)
                saved = time.monotonic()
    with _writing(folder / f".{CURVE}"):
        write_whole(folder / CURVE, _to_csv(state.curve))
    # The second one is what a kill in the midst of writing leaves.
    for name in (STATE, _UNFINISHED_STATE):
        (folder / name).unlink(missing_ok=True)


def _describe(state: _State) -> str:
    if not state.curve:
        return f"{state.examples:,} examples"
    _, loss, accuracy = state.curve[-1]
    return f"{state.examples:,} examples, loss {loss:.3f}, string accuracy {accuracy:.2f}"


def _take_step(state: _State, device: torch.device) -> tuple[float, float]:
    """Learn from one batch; return the loss on it and the share of its strings that were right, both before.

    Raises:
        DivergedError: if the loss or the gradient is no finite number; the weights are then as they were.
    """
    run, scale = state.run, state.run.scale
    rate = scale.learning_rate * schedule(state.examples / scale.examples)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    lengths = (scale.lengths[0], scale.lengths[1])
    batch = pack(draw_examples(run.task, lengths, run.seed, state.examples, scale.batch), scale.context)
    loss, accuracy = measure(state.model, batch, device)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), _LARGEST_GRADIENT)
    value = loss.item()
    if not (math.isfinite(value) and math.isfinite(norm.item())):
        raise DivergedError(
            f"{run.name}: the loss is {value} and the gradient {norm.item()} after {state.examples:,} examples; "
            "the checkpoints before are kept; try a lower learning_rate, in another folder"
        )
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.examples += scale.batch
    state.recent.append((value, accuracy))
    if len(state.recent) == _STEPS_A_ROW:
        losses, accuracies = zip(*state.recent, strict=True)
        state.curve.append((state.examples, sum(losses) / _STEPS_A_ROW, sum(accuracies) / _STEPS_A_ROW))
        state.recent.clear()
    return value, accuracy


def schedule(progress: float) -> float:
    """Return the share of the learning rate at a share of the run: a linear warm-up, then a linear decay to zero."""
    if progress < _WARM_UP:
        return (progress + 1e-3) / (_WARM_UP + 1e-3)
    return (1.0 - progress) / (1.0 - _WARM_UP)


def measure(model: PreTrainedModel, batch: PackedBatch, device: torch.device) -> tuple[torch.Tensor, float]:
    """Return the mean cross-entropy of the answers' tokens, and the share of answers that are right as a whole.

    Right means that each token is the model's first choice after the right ones before it (teacher forcing). The head
    runs only where there is something to learn.
    """
    tokens, answers = batch.tokens.to(device), batch.answers.to(device)[:, 1:]
    learned = answers >= 0
    targets, examples = tokens[:, 1:][learned], answers[learned]
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = model.lm_head(hidden_states(model, tokens)[:, :-1][learned]).float()
    wrong = examples[logits.argmax(dim=-1) != targets].unique().numel()
    return functional.cross_entropy(logits, targets), 1.0 - wrong / examples.unique().numel()


def _export(model: PreTrainedModel, folder: Path) -> None:
    """Write a checkpoint as a whole; one that is there, of a run that was killed after it, is the same."""
    if folder.is_dir():
        return
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    transformers_logging.disable_progress_bar()
    with _writing(unfinished):
        model.save_pretrained(unfinished)
        build_tokenizer().save_pretrained(unfinished)
        # safetensors writes a file that nobody else may read.
        (unfinished / "model.safetensors").chmod(0o644)
        unfinished.replace(folder)
