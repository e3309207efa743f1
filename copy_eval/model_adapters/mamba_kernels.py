"""The CUDA kernels of the package mamba-ssm, where it is installed: the model and how a batch goes through it.

A step of one token runs as a CUDA graph: one launch instead of some hundreds. A graph reads and writes the tensors that
it was captured with, so each has its own tokens and states, and a batch's states are copied in. mamba-ssm's
``generate(cg=True)`` does the same for one fixed batch; here rows come and go.
"""

import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters.checkpoints import load_checked
from copy_eval.model_adapters.state_spaces_layout import FLOAT32

_log = logging.getLogger(__name__)

DEVICE_TYPE = "cuda"
"""Of the device that the kernels run on."""

LayerStates: TypeAlias = Mapping[int, tuple[torch.Tensor, ...]]
"""The states of the convolution and of the recurrence, [row, …] each, by the number of their layer."""

_NOISE = {torch.float32: 0.01}
"""Root-mean-square difference, as a share of the standard deviation, that rounding explains: in float32 Triton
multiplies in TF32, which has 10 bits."""
_NOISE_OF_HALF_PRECISION = 0.1


def why_no_kernels(attention: bool = False) -> str | None:
    """Return why the kernels cannot be imported here, None where they can.

    Args:
        attention: whether there are attention layers; mamba-ssm steps them rightly with flash_attn only.
    """
    # Each build fits one PyTorch, and mamba-ssm 2.2 does not fit transformers 5: that a package is there says little.
    packages = {"causal-conv1d": "causal_conv1d", "mamba-ssm": "mamba_ssm.models.mixer_seq_simple"}
    for package, module in (packages | ({"flash-attn": "flash_attn"} if attention else {})).items():
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - a build for another PyTorch or without CUDA fails in many ways
            if getattr(error, "name", None) == module.partition(".")[0]:
                return f"{package} is not installed; pip install --no-build-isolation {' '.join(packages)}"
            return f"{package} cannot be imported ({first_line(error)})"
    return None


def build_kernel_model(
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    source: str,
) -> torch.nn.Module:
    """Return mamba-ssm's own model with the weights of a state-spaces checkpoint, on ``device``.

    mamba-ssm's ``from_pretrained`` is not used: it knows no revision and, with an old PyTorch, unpickles code.

    Args:
        config: in the state-spaces layout; a key that mamba-ssm does not know is left out, as without kernels.
        tensors: by their names in that layout; those of the recurrence keep their dtype.
        device: takes the model.
        dtype: of the other tensors.
        source: the checkpoint, for the error line.

    Raises:
        UserError: if the tensors do not fit the config, or mamba-ssm cannot build it.
    """
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel
    from mamba_ssm.modules.mha import MHA

    known = {field.name for field in fields(MambaConfig)}
    own = MambaConfig(**{key: value for key, value in config.items() if key in known and value is not None})
    if own.tie_embeddings and "backbone.embedding.weight" in tensors:
        tensors = {**tensors, "lm_head.weight": tensors["backbone.embedding.weight"]}
    try:
        model: torch.nn.Module = MambaLMHeadModel(own, device=device, dtype=dtype)
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"{source}: mamba-ssm refuses its config.json ({first_line(error)})") from error
    load_checked(model, tensors, source, assign=False)
    for name, parameter in model.named_parameters():
        if name.endswith(FLOAT32):
            parameter.data = tensors[name].to(device, torch.float32)
    for module in model.modules():
        if isinstance(module, MHA) and module.d_conv > 0:
            module.register_forward_hook(_keep_what_was_convolved, with_kwargs=True)
    return model.eval()


def _keep_what_was_convolved(attention: Any, inputs: Any, options: Mapping[str, Any], _: Any) -> None:
    """Mend the state after a prefill: mamba-ssm's attention keeps the convolution's output (its pull request 1027)."""
    params = options["inference_params"]
    if params is not None and params.seqlen_offset == 0:
        state = params.key_value_memory_dict[attention.layer_idx][1]
        last = attention.in_proj(inputs[0][:, -attention.d_conv :])[..., : state.shape[1]].transpose(1, 2)
        state.copy_(functional.pad(last, (attention.d_conv - last.shape[-1], 0)))


def new_parameters(model: torch.nn.Module, room: int) -> Any:
    """Return what mamba-ssm keeps of one row: states before any token, and room for as many tokens as asked for.

    It would create the recurrence's state in the model's dtype; float32 halves the error of a model in half precision.
    """
    from mamba_ssm.utils.generation import InferenceParams

    params = InferenceParams(max_seqlen=room, max_batch_size=1)
    backbone: Any = model.backbone
    for layer, block in enumerate(backbone.layers):
        if hasattr(block.mixer, "step"):  # the cache of an attention layer is left to it
            conv, state = block.allocate_inference_cache(1, room)
            params.key_value_memory_dict[layer] = (conv, state.float())
    return params


@torch.no_grad()
def find_difference(
    model: torch.nn.Module, step_graphs: "StepGraphs | None", tokens: torch.Tensor, expected: torch.Tensor | None
) -> str | None:
    """Run a short text through every way that leads through mamba-ssm's model, and compare.

    Args:
        model: mamba-ssm's.
        step_graphs: of the model, None where it steps without.
        tokens: the text [1, token], two tokens at least.
        expected: the logits after each token [token, vocab]; None for those of a whole pass through the model.

    Returns:
        What differs by more than rounding, None for nothing.
    """
    weight = next(model.parameters())
    tokens, half = tokens.to(weight.device), tokens.shape[1] // 2
    whole = model(tokens).logits[0]
    expected = whole if expected is None else expected.to(weight.device)

    params = new_parameters(model, tokens.shape[1])
    logits = [model(tokens[:, :half], inference_params=params, num_last_tokens=half).logits[0]]
    states = params.key_value_memory_dict
    step = None if step_graphs is None else step_graphs.begin(states)
    for place in range(half, tokens.shape[1]):
        params.seqlen_offset = place
        logits.append(model(tokens[:, place : place + 1], inference_params=params, num_last_tokens=1).logits[0])

    compared = {"a whole pass": (whole, expected), "a prefill with steps": (torch.cat(logits), expected)}
    if step is not None:
        for token in tokens[0, half:].tolist():
            step.run([[token]])
        for layer, state in step.states(1).items():
            for name, found, wanted in zip(("convolution", "recurrence"), state, states[layer], strict=True):
                compared[f"the {name} of layer {layer} after captured steps"] = (found, wanted)
    noise = _NOISE.get(weight.dtype, _NOISE_OF_HALF_PRECISION)
    for what, (found, wanted) in compared.items():
        off, deviation = (found.float() - wanted.float()).square().mean().sqrt(), wanted.float().std()
        if not off <= noise * deviation:  # so that NaN counts too
            return f"on a prompt to try it, {what} is off by {off:.3g}, at a standard deviation of {deviation:.3g}"
    return None


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
        self._captures = device.type == DEVICE_TYPE

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
        self._params = new_parameters(self._model, len(text) + self._room)
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
