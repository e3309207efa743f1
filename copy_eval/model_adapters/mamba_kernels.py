"""The CUDA kernels of the package mamba-ssm, where it is installed: the model and how a batch goes through it.

A step of one token runs as a CUDA graph: one launch instead of some hundreds. A graph reads and writes the tensors that
it was captured with, so each has its own tokens and states, and a batch's states are copied in. mamba-ssm's
``generate(cg=True)`` does the same for one fixed batch; here rows come and go.
"""

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch

from copy_eval.model_adapters.checkpoints import load_checked

_log = logging.getLogger(__name__)

LayerStates: TypeAlias = Mapping[int, tuple[torch.Tensor, ...]]
"""The states of the convolution and of the recurrence, [row, …] each, by the number of their layer."""


def have_kernels() -> bool:
    """Tell whether mamba-ssm and causal-conv1d are installed (they run on CUDA only)."""
    return all(importlib.util.find_spec(package) for package in ("mamba_ssm", "causal_conv1d"))


def build_kernel_model(
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    source: str,
) -> torch.nn.Module:
    """Return mamba-ssm's own model with the weights of a state-spaces checkpoint, on ``device``.

    mamba-ssm's ``from_pretrained`` is not used: it knows no revision and, with an old PyTorch, unpickles code.

    Raises:
        UserError: if the tensors do not fit the config.
    """
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel

    model: torch.nn.Module = MambaLMHeadModel(MambaConfig(**config), device=device, dtype=dtype)
    load_checked(model, tensors, source, assign=False)
    return model


class Step:
    """One token for each of up to ``rows`` rows, in states of its own; unused rows hold whatever stood there before.

    That is harmless: the rows of a state space model have nothing to do with each other.
    """

    def __init__(self, model: torch.nn.Module, rows: int, like: LayerStates) -> None:
        """Make room for ``rows`` rows of states that are shaped as ``like``."""
        from mamba_ssm.utils.generation import InferenceParams

        self._model = model
        self._states = {
            layer: tuple(part.new_zeros(rows, *part.shape[1:]) for part in state) for layer, state in like.items()
        }
        any_part = next(iter(self._states.values()))[0]
        self._tokens = torch.zeros(rows, 1, dtype=torch.long, device=any_part.device)
        # An offset above 0 means "step"; the layers then write each new state where they read the old one.
        self._params = InferenceParams(
            max_seqlen=2, max_batch_size=rows, seqlen_offset=1, key_value_memory_dict=self._states
        )
        self._choices = torch.zeros(rows, 1, dtype=torch.long, device=any_part.device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def capture(self, pool: Any) -> Any:
        """Record the step, so that ``run`` only replays it.

        Args:
            pool: the memory of the graphs captured before, which never run at the same time; None for the first.

        Returns:
            The pool for the next.
        """
        with torch.cuda.device(self._tokens.device):
            warm_up = torch.cuda.Stream()
            warm_up.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(warm_up):
                for _ in range(2):  # kernels are compiled and tuned when they first run, which cannot be captured
                    self._forward()
            torch.cuda.current_stream().wait_stream(warm_up)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                self._forward()
        self._graph = graph
        return graph.pool()

    def load(self, states: LayerStates) -> None:
        """Go on from copies of these states, which fill the first rows."""
        for layer, state in states.items():
            for mine, part in zip(self._states[layer], state, strict=True):
                mine[: len(part)].copy_(part)

    def states(self, rows: int) -> LayerStates:
        """Return the states of the first rows; the next ``run`` or ``load`` changes them."""
        return {layer: tuple(part[:rows] for part in state) for layer, state in self._states.items()}

    def run(self, tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in each row's one token; return its one choice."""
        self._tokens[: len(tokens)].copy_(torch.tensor(tokens))
        if self._graph is None:
            self._forward()
        else:
            self._graph.replay()
        choices: list[list[int]] = self._choices[: len(tokens)].tolist()
        return choices

    def _forward(self) -> None:
        logits = self._model(self._tokens, inference_params=self._params, num_last_tokens=1).logits
        self._choices.copy_(logits.argmax(dim=-1))


class StepGraphs:
    """The steps of one model, for 1, 2, 4, 8 … rows; a batch between two of these takes the larger."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self._model = model
        self._steps: dict[int, Step] = {}
        self._pool: Any = None
        self._captures = device.type == "cuda"

    def begin(self, states: LayerStates) -> Step:
        """Return a step that goes on from copies of these states, until the next one is begun."""
        rows = 1 << (len(next(iter(states.values()))[0]) - 1).bit_length()
        if rows not in self._steps:
            step = Step(self._model, rows, states)
            if self._captures:
                self._capture(step)
            self._steps[rows] = step
        self._steps[rows].load(states)
        return self._steps[rows]

    def _capture(self, step: Step) -> None:
        try:
            self._pool = step.capture(self._pool)
        except torch.OutOfMemoryError:
            raise  # the batch is too large, with or without a graph
        except RuntimeError as error:
            self._captures = False
            _log.warning("no CUDA graph could be captured (%s): each step launches its kernels one by one", error)


class KernelRun:
    """A batch in mamba-ssm's model: each prompt is prefilled alone, then the states are stacked and step together.

    Its kernels go on from a state by one token only, so a draft is taken in with its prompt or not at all; where the
    model rejects it, the prompt is prefilled once more with the part that stands.
    """

    def __init__(
        self, model: torch.nn.Module, device: torch.device, room: int, step_graphs: StepGraphs | None = None
    ) -> None:
        """Begin a batch.

        Args:
            model: mamba-ssm's.
            device: its device.
            room: the most tokens that may follow a prompt.
            step_graphs: of the model, kept from batch to batch; None to launch each step's kernels one by one, as the
                attention layers of a hybrid need it, whose states grow.
        """
        self._model, self._device, self._room = model, device, room
        self._step_graphs = step_graphs
        self._step: Step | None = None
        self._params: Any = None
        self._rows = 0
        self._texts: list[list[int]] = []  # each row's prompt and draft, while there is no step beyond them
        self._draft_sizes: list[int] = []

    @property
    def takes_drafts(self) -> bool:
        """Only with the prompts."""
        return self._params is None

    def feed(self, tokens: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take in each row's tokens and its draft; return the choices after the last token and each drafted one."""
        if self._params is not None:
            self._texts = []
            return self._take_step(tokens)
        self._texts = [[*row, *draft] for row, draft in zip(tokens, drafts, strict=True)]
        self._draft_sizes = [len(draft) for draft in drafts]
        states, choices = [], []
        for text, size in zip(self._texts, self._draft_sizes, strict=True):
            state, chosen = self._prefill(text, size + 1)
            states.append(state)
            choices.append(chosen)
        self._stack(states)
        return choices

    def keep(self, rows: Sequence[int], accepted: Sequence[int]) -> None:
        """Go on with these rows only, and of their last drafts with the first ``accepted`` tokens."""
        before = self._states if self._step is None else self._step.states(self._rows)
        wrong = {
            row: self._draft_sizes[row] - count
            for row, count in zip(rows, accepted, strict=True)
            if self._texts and count < self._draft_sizes[row]
        }
        if wrong or len(rows) < self._rows:
            self._stack(
                [
                    self._prefill(self._texts[row][: -wrong[row]], 1)[0]
                    if row in wrong
                    else {layer: tuple(part[row : row + 1] for part in state) for layer, state in before.items()}
                    for row in rows
                ]
            )

    @property
    def _states(self) -> LayerStates:
        states: LayerStates = self._params.key_value_memory_dict
        return states

    def _take_step(self, tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        if self._step_graphs is not None:
            if self._step is None:
                self._step = self._step_graphs.begin(self._states)
            return self._step.run(tokens)
        choices = self._forward(torch.tensor(tokens, device=self._device), 1)
        self._params.seqlen_offset += 1
        return choices

    def _prefill(self, text: Sequence[int], last: int) -> tuple[LayerStates, list[int]]:
        """Return the states after a text and the choices after its last tokens."""
        from mamba_ssm.utils.generation import InferenceParams

        self._params = InferenceParams(max_seqlen=len(text) + self._room, max_batch_size=1)
        choices = self._forward(torch.tensor([text], device=self._device), last)[0]
        # Any value above 0 means "step" to a Mamba layer; the attention layers of a hybrid, which is decoded one
        # prompt at a time, need the true one.
        self._params.seqlen_offset = len(text)
        return self._states, choices

    def _stack(self, states: Sequence[LayerStates]) -> None:
        """Make the rows one batch; the last prefill's parameters serve all of them."""
        self._rows, self._step = len(states), None
        self._params.key_value_memory_dict = (
            {
                layer: tuple(torch.cat(parts) for parts in zip(*(state[layer] for state in states), strict=True))
                for layer in states[0]
            }
            if len(states) > 1
            else states[0]
        )

    def _forward(self, tokens: torch.Tensor, last: int) -> list[list[int]]:
        logits = self._model(tokens, inference_params=self._params, num_last_tokens=last).logits
        choices: list[list[int]] = logits[:, -last:].argmax(dim=-1).tolist()
        return choices
