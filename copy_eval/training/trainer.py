"""Trains one model: one loop for all architectures and whatever they learn from, with a state to go on from.

The folder of a model of an experiment::

    string_copy/rope-seed0/
      step1000/       a checkpoint that every adapter loads; the step counts training examples
      step10000/
      training.csv    loss and accuracy, as they fell and rose
      training.pt     what a run that was stopped goes on from; gone at the end

Each example is seen once. So the accuracy on a batch, before the model learns from it, is that on new examples.
"""

import csv
import io
import math
import pickle
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from copy_eval.errors import UserError, first_line
from copy_eval.files import write_whole
from copy_eval.training.curriculum import Batch, Curriculum
from copy_eval.training.scan import hidden_states

STATE = "training.pt"
_UNFINISHED_STATE = f".{STATE}"
CURVE = "training.csv"

_BETAS = (0.9, 0.98)
_WEIGHT_DECAY = 0.05
_LARGEST_GRADIENT = 1.0
_STEPS_A_ROW = 20  # of the curve
_SECONDS_BETWEEN_SAVES = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """How far the training of a model is after a step."""

    name: str
    """Of the training."""

    seen: int
    total: int
    unit: str
    """Of the two: examples or tokens."""

    loss: float
    accuracy: float
    """On the batch of the step, before it was learned."""

    checkpoint: str = ""
    """What there is to say of the model, where a checkpoint was written after this step."""


class DivergedError(UserError):
    """A loss or a gradient that is no number: this run cannot go on, others can."""


@dataclass(frozen=True)
class Training:
    """One model that is trained: what it is, what it learns from, and how it is kept."""

    name: str
    """For messages."""

    identity: str
    """Of what a saved state must be to go on from it."""

    seed: int
    """Of the first weights."""

    build: Callable[[], PreTrainedModel]
    """Returns the model, with weights drawn from torch's generator."""

    begin: Callable[[], Curriculum]
    """Returns what it learns from, at the beginning."""

    save: Callable[[Any, Path], None]
    """Writes the model into a folder."""

    checkpoints: Mapping[int, str]
    """The folder of each checkpoint by what has been seen when it is written, in order; the last one ends the run."""

    compiles: bool = False
    """Whether ``torch.compile`` makes it faster on a GPU."""

    half_on: Collection[str] = ("cuda",)
    """The kinds of devices on which it computes in bfloat16."""


@dataclass(slots=True)
class _State:
    """What a run has to remember to go on."""

    training: Training
    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    curriculum: Curriculum
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """Examples or tokens, loss and accuracy; averages of the steps since the row before."""
    recent: list[tuple[float, float]] = field(default_factory=list)
    """Loss and accuracy of the steps that are in no row yet."""

    def save(self, folder: Path) -> None:
        """Write the state under another name and rename it, so that a kill leaves the last whole one."""
        content = {
            "run": self.training.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
            "recent": self.recent,
        } | self.curriculum.get_state()
        # torch's own writer tells a full disk as an error of its own format.
        buffer = io.BytesIO()
        torch.save(content, buffer)
        unfinished = folder / _UNFINISHED_STATE
        with writing(unfinished):
            unfinished.write_bytes(buffer.getbuffer())
            unfinished.replace(folder / STATE)
            write_whole(folder / CURVE, self.to_csv())

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
        except torch.OutOfMemoryError:  # a RuntimeError, but not of the file
            raise
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            reason = first_line(error) or type(error).__name__
            raise UserError(f"cannot read {file} ({reason}); delete it to begin this model anew") from error
        if there != self.training.identity:
            raise UserError(f"{file} is of another experiment: name another folder with --out")
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.curriculum.set_state(content)
        self.curve = [tuple(row) for row in content["curve"]]
        self.recent = [tuple(step) for step in content["recent"]]

    def to_csv(self) -> str:
        """Return the curve as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow((self.curriculum.unit, "loss", "string_accuracy"))
        writer.writerows((seen, f"{loss:.6g}", f"{accuracy:.4f}") for seen, loss, accuracy in self.curve)
        return text.getvalue()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make one line of what goes wrong with writing ``path``, and leave nothing of it."""
    try:
        yield
    except Exception as error:
        # tokenizers tells a full disk as a bare Exception.
        if not isinstance(error, OSError | SafetensorError) and type(error) is not Exception:
            raise
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # the folder may not be one
            path.unlink()
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(
            f"cannot write {path.parent}: {reason}; the same command then goes on from what was saved before"
        ) from error


def is_done(training: Training, folder: Path) -> bool:
    """Tell whether the last checkpoint is there."""
    return (folder / [*training.checkpoints.values()][-1]).is_dir()


def train_model(
    training: Training, folder: Path, device: torch.device, on_step: Callable[[Step], None] = lambda _: None
) -> None:
    """Train a model, or go on with it, and write its checkpoints.

    Args:
        training: what is trained.
        folder: of its checkpoints; made if it is not there.
        device: where.
        on_step: is told of each step; an exception of its ends the training, which then goes on from there later.

    Raises:
        DivergedError: if the loss is no number any more; what was saved before is left.
        UserError: if something cannot be read or written.
    """
    curriculum = training.begin()
    torch.manual_seed(training.seed)
    model: Any = training.build()
    model.to(device)
    if device.type == "cuda" and training.compiles:
        model.base_model.compile()
    optimizer = torch.optim.AdamW(model.parameters(), betas=_BETAS, weight_decay=_WEIGHT_DECAY)
    state = _State(training, model, optimizer, curriculum)
    with writing(folder / _UNFINISHED_STATE):
        folder.mkdir(parents=True, exist_ok=True)
    state.restore(folder, device)
    model.train()
    saved = time.monotonic()
    while curriculum.seen < curriculum.total:
        before = curriculum.seen
        loss, accuracy = _take_step(state, device)
        said = ""
        for due, name in training.checkpoints.items():
            if before < due <= curriculum.seen:
                _export(training, model, folder / name)
                said = _describe(state)
        if time.monotonic() - saved >= _SECONDS_BETWEEN_SAVES:
            state.save(folder)
            saved = time.monotonic()
        try:
            on_step(Step(training.name, curriculum.seen, curriculum.total, curriculum.unit, loss, accuracy, said))
        except BaseException:
            if curriculum.seen < curriculum.total:
                state.save(folder)
            raise
    with writing(folder / f".{CURVE}"):
        write_whole(folder / CURVE, state.to_csv())
    # The second one is what a kill in the midst of writing leaves.
    for name in (STATE, _UNFINISHED_STATE):
        (folder / name).unlink(missing_ok=True)


def _describe(state: _State) -> str:
    seen = f"{state.curriculum.seen:,} {state.curriculum.unit}"
    if not state.curve:
        return seen
    _, loss, accuracy = state.curve[-1]
    return f"{seen}, loss {loss:.3f}, string accuracy {accuracy:.2f}"


def _take_step(state: _State, device: torch.device) -> tuple[float, float]:
    """Learn from the batches of a step; return their loss and the share of answers that were right, both before.

    Raises:
        DivergedError: if the loss or the gradient is no finite number; the weights are then as they were.
    """
    curriculum, before = state.curriculum, state.curriculum.seen
    for group in state.optimizer.param_groups:
        group["lr"] = curriculum.learning_rate()
    batches = curriculum.take_step()
    value = accuracy = 0.0
    for batch in batches:
        loss, right = measure(state.model, batch, device, half=device.type in state.training.half_on)
        (loss / len(batches)).backward()
        value += loss.item() / len(batches)
        accuracy += right / len(batches)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), _LARGEST_GRADIENT)
    if not (math.isfinite(value) and math.isfinite(norm.item())):
        raise DivergedError(
            f"{state.training.name}: the loss is {value} and the gradient {norm.item()} after {before:,} "
            f"{curriculum.unit}; the checkpoints before are kept; try a lower learning_rate, in another folder"
        )
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.recent.append((value, accuracy))
    if len(state.recent) == _STEPS_A_ROW:
        losses, accuracies = zip(*state.recent, strict=True)
        state.curve.append((curriculum.seen, sum(losses) / _STEPS_A_ROW, sum(accuracies) / _STEPS_A_ROW))
        state.recent.clear()
    return value, accuracy


def measure(model: PreTrainedModel, batch: Batch, device: torch.device, *, half: bool) -> tuple[torch.Tensor, float]:
    """Return the weighted mean cross-entropy, and the share of answers that are right as a whole.

    Right means that each token is the model's first choice after the right ones before it (teacher forcing). The head
    runs only where there is something to learn.

    Args:
        model: a causal language model with a head named ``lm_head``.
        batch: what is learned.
        device: of the model.
        half: whether to compute in bfloat16, as autocast does.
    """
    tokens, weights, answers = (tensor.to(device) for tensor in (batch.tokens, batch.weights, batch.answers))
    learned = weights[:, 1:] > 0
    targets, weights, answers = (tensor[:, 1:][learned] for tensor in (tokens, weights, answers))
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        logits = model.lm_head(hidden_states(model, tokens)[:, :-1][learned]).float()
    losses = functional.cross_entropy(logits, targets, reduction="none")
    wrong = answers[(logits.argmax(dim=-1) != targets) & (answers >= 0)].unique().numel()
    accuracy = 1.0 - wrong / answers[answers >= 0].unique().numel()
    return (losses * weights).sum() / weights.sum(), accuracy


def _export(training: Training, model: PreTrainedModel, folder: Path) -> None:
    """Write a checkpoint as a whole; one that is there, of a run that was killed after it, is the same."""
    if folder.is_dir():
        return
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    transformers_logging.disable_progress_bar()
    with writing(unfinished):
        training.save(model, unfinished)
        # safetensors writes a file that nobody else may read.
        (unfinished / "model.safetensors").chmod(0o644)
        unfinished.replace(folder)
