"""The training loop: small batches first, larger ones later, with a checkpoint to go on from."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel

from copy_eval.training.data import ENGLISH_ONLY_FROM, Batch, BatchSampler
from copy_eval.training.models import hidden_states

_LEARNING_RATE = 2e-3
_WARM_UP_STEPS = 100
# Shares of the run: the rate falls linearly to zero; for the English texts at the end it falls again, from a quarter.
_DECAY = (0.585, ENGLISH_ONLY_FROM)
_SECOND_PEAK = 0.25
# Tokens of each of a step's two batches. A Transformer's lookup forms after a number of steps, not of tokens.
_BUDGETS = ((0.135, 512), (0.36, 1024), (0.675, 1536), (1.0, 2048))
_STEPS_BETWEEN_CHECKPOINTS = 200
_PROBES = (
    ("phonebook", 10),
    ("phonebook", 20),
    ("phonebook", 40),
    ("phonebook", 80),
    ("copy", 50),
    ("copy", 100),
    ("copy", 200),
)


@dataclass(slots=True)
class TrainingState:
    """What a run has to remember to go on: the parts that learn, the data it draws, and how far it is."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    sampler: BatchSampler
    step: int = 0
    tokens_seen: int = 0

    def save(self, path: Path) -> None:
        """Write the state next to ``path`` and rename it, so that a kill leaves the last whole one."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.get_state(),
            "step": self.step,
            "tokens_seen": self.tokens_seen,
        }
        unfinished = path.with_suffix(".tmp")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what ``save`` wrote."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.set_state(state["sampler"])
        self.step, self.tokens_seen = state["step"], state["tokens_seen"]


def train(model: PreTrainedModel, sampler: BatchSampler, probe: BatchSampler, tokens: int, checkpoint: Path) -> None:
    """Train ``model`` in place until it has seen ``tokens``; goes on from ``checkpoint`` where that file exists.

    Args:
        model: a causal language model with a head named ``lm_head``.
        sampler: draws what is learned.
        probe: draws held-out examples; their accuracy is printed as training goes on.
        tokens: how many the model sees, padding included.
        checkpoint: written every now and then.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    state = TrainingState(model, optimizer, sampler)
    if checkpoint.exists():
        state.restore(checkpoint)
    held_out = [probe.draw_exact(kind, length, examples=32) for kind, length in _PROBES]
    with tqdm(total=tokens, initial=state.tokens_seen, unit="tok", unit_scale=True, smoothing=0.05) as bar:
        while state.tokens_seen < tokens:
            loss, seen = _take_step(state, state.tokens_seen / tokens)
            bar.update(seen)
            if state.step % 20 == 0:
                bar.set_postfix(loss=f"{loss:.3f}", step=state.step)
            if state.step % _STEPS_BETWEEN_CHECKPOINTS == 0:
                state.save(checkpoint)
                bar.write(f"step {state.step}, {state.tokens_seen / 1e6:.1f}M tokens: {_describe(model, held_out)}")
    state.save(checkpoint)
    print(f"finished after {state.step} steps: {_describe(model, held_out)}")


def _take_step(state: TrainingState, progress: float) -> tuple[float, int]:
    """Learn from one phonebook batch and one copy batch; return the loss and the tokens that were read."""
    for group in state.optimizer.param_groups:
        group["lr"] = _LEARNING_RATE * _schedule(state.step, progress)
    budget = next(budget for until, budget in _BUDGETS if progress <= until)
    losses, seen = [], 0
    for kind in ("phonebook", "copy"):
        batch = state.sampler.draw(kind, budget, progress)
        loss = _loss(state.model, batch) / 2
        loss.backward()
        losses.append(loss.item())
        seen += batch.tokens.numel()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.tokens_seen += seen
    return math.fsum(losses), seen


def _schedule(step: int, progress: float) -> float:
    warm_up = min(1.0, (step + 1) / _WARM_UP_STEPS)
    begin, end = _DECAY
    if progress < end:
        return warm_up * min(1.0, (end - progress) / (end - begin))
    return _SECOND_PEAK * (1.0 - progress) / (1.0 - end)


def _loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Weighted cross-entropy; the head runs only where a weight asks for it."""
    weights = batch.weights[:, 1:]
    learned = weights > 0
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.lm_head(hidden_states(model, batch.tokens)[:, :-1][learned])
    losses = functional.cross_entropy(logits.float(), batch.tokens[:, 1:][learned], reduction="none")
    return (losses * weights[learned]).sum() / weights[learned].sum()


@torch.no_grad()
def _exact_match(model: PreTrainedModel, batch: Batch) -> float:
    """Share of examples whose tokens of weight 1 are all the model's first choice, so that greedy decoding is right."""
    asked = batch.weights[:, 1:] == 1
    right = model.lm_head(hidden_states(model, batch.tokens)[:, :-1]).argmax(-1) == batch.tokens[:, 1:]
    return (right | ~asked).all(dim=1).float().mean().item()


def _describe(model: PreTrainedModel, held_out: list[Batch]) -> str:
    model.eval()
    cells = [
        f"{kind} {length}: {_exact_match(model, batch):.2f}"
        for (kind, length), batch in zip(_PROBES, held_out, strict=True)
    ]
    model.train()
    return ", ".join(cells)
