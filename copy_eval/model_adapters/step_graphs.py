"""A step of one token through mamba-ssm's model as a CUDA graph: one launch instead of some hundreds.

A graph reads and writes the tensors that it was captured with, so each has its own tokens and states, and a batch's
states are copied in. mamba-ssm's ``generate(cg=True)`` does the same for one fixed batch; here rows come and go.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch

_log = logging.getLogger(__name__)

LayerStates: TypeAlias = Mapping[int, tuple[torch.Tensor, ...]]
"""Of each layer by its number: the convolution's and the recurrence's states, [row, …] each."""


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
