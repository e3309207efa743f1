"""``--model mamba_ssm``: Mamba and Mamba-2, in the state-spaces layout or that of transformers."""

import importlib.metadata
import logging
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from transformers import Mamba2Config, MambaConfig, PretrainedConfig

from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters import mamba_kernels
from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.arguments import is_given
from copy_eval.model_adapters.checkpoints import PILE_TOKENIZER, find_file, read_weights
from copy_eval.model_adapters.decoding import Answer, Run
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.mamba_forward import empty_states, find_state_space_model, logits_of, take_in
from copy_eval.model_adapters.mamba_kernels import KernelRun, StepGraphs, new_parameters
from copy_eval.model_adapters.mamba_run import MambaRun
from copy_eval.model_adapters.memory import LayerCache
from copy_eval.model_adapters.state_spaces_layout import (
    build_transformers_model,
    is_hybrid,
    name_as_state_spaces,
    translate_back,
    translate_config,
)

_log = logging.getLogger(__name__)

_OF_STATE_SPACES = {"revision", "subfolder", "dtype", "trust_remote_code", "gpus"}
"""What loading a checkpoint in the state-spaces layout follows; ``HFLM`` hands over more."""

_TRIAL = "James Smith: 6093237777\nMary Lopez: 8323456789\n\nJames Smith:"
"""A prompt on which the kernels are compared with transformers' Mamba before they are used."""


class MambaLM(ExactLM):
    """A state space model: ``lm_eval --model mamba_ssm --model_args pretrained=state-spaces/mamba-370m``."""

    adapter = "mamba_ssm"
    _kernels = False
    _step_graphs: StepGraphs | None = None

    def __init__(
        self,
        pretrained: str = "state-spaces/mamba-130m",
        *,
        use_kernels: bool = True,
        is_hf: bool | None = None,
        **options: Any,
    ) -> None:
        """Load a checkpoint.

        Args:
            pretrained: a folder, a hub id, or the packaged ``tiny-mamba``.
            use_kernels: run mamba-ssm's kernels on CUDA where they are installed.
            is_hf: whether the layout is that of transformers; an argument of lm-eval's own adapter, which is only
                checked: the layout is read off config.json.
            options: see ``ExactLM``.

        Raises:
            UserError: if an argument or the checkpoint is not usable.
        """
        self._use_kernels, self._is_hf = use_kernels, is_hf
        self._mixed_precision = options.get("mixed_precision_dtype")
        super().__init__(pretrained, **options)
        # mamba-ssm's kernels go on from a state by one token only.
        self._shares_prefixes = find_state_space_model(self.model) is not None
        self._layer_caches = self._find_layer_caches()

    @property
    def context_length(self) -> int | None:
        """``max_length=`` where it is given: a state has no positions to run out of."""
        return self._max_length or None

    @property
    def kernels(self) -> str | None:
        """mamba-ssm with its version; None for transformers' Mamba."""
        return f"mamba-ssm {importlib.metadata.version('mamba-ssm')}" if self._kernels else None

    def get_model_info(self) -> dict[str, Any]:
        """Return what lm-eval logs of the model, and the kernels that ran it (None for transformers' Mamba)."""
        info = super().get_model_info()
        info["copy_eval"]["kernels"] = self.kernels
        if self._kernels:
            info["model_dtype"] = next(self.model.parameters()).dtype  # mamba-ssm's model has no such attribute
        return info

    def _get_config(self, pretrained: str, **options: Any) -> None:
        if self._is_hf is not None and self._is_hf == self._state_spaces:
            layout = "the state-spaces layout" if self._state_spaces else "transformers' layout"
            raise UserError(f"is_hf={self._is_hf}: config.json has {layout}; leave is_hf out")
        hybrid = is_hybrid(self._config_json)
        asked = self._use_kernels and self.device.type == mamba_kernels.DEVICE_TYPE
        why_not = self._why_no_kernels() if asked else None
        self._kernels = asked and why_not is None
        if hybrid and why_not is not None:
            raise UserError(f"{pretrained}: its attention or MLP layers run in mamba-ssm's kernels only: {why_not}")
        if why_not is not None:
            _fall_back(why_not)
        if self._kernels and hybrid:
            self._config = PretrainedConfig()
        elif self._state_spaces:
            self._config = translate_config(self._config_json, pretrained)
        elif self._config_json.get("model_type") in ("mamba", "mamba2"):
            super()._get_config(pretrained, **options)
        else:
            kind = self._config_json.get("model_type", "model with code of its own")
            raise UserError(f"pretrained={pretrained}: neither Mamba nor Mamba-2 ({kind}); use --model copy_hf")

    def _why_no_kernels(self) -> str | None:
        if self._mixed_precision is not None:
            return f"they step in one dtype, and mixed_precision_dtype={self._mixed_precision} asks for a second"
        return mamba_kernels.why_no_kernels(attention=bool(self._config_json.get("attn_layer_idx")))

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **options: Any) -> None:
        if self._state_spaces and not tokenizer:
            where = {"revision": str(options["revision"]), "subfolder": options.get("subfolder") or ""}
            if find_file(pretrained, "tokenizer.json", **where) is None:
                tokenizer = PILE_TOKENIZER
        super()._create_tokenizer(pretrained, tokenizer, **options)

    def _create_model(self, pretrained: str, **options: Any) -> None:
        hybrid = is_hybrid(self._config_json)
        if hybrid and options["peft"]:
            raise UserError(f"peft={options['peft']}: mamba-ssm's own model, the only one for hybrids, takes none")
        super()._create_model(pretrained, **options)
        if next(self.model.parameters()).dtype == torch.float64:
            raise UserError("dtype=float64: a Mamba's recurrence is computed in float32 here; use dtype=float32")
        if self._kernels and not hybrid:
            why_not = self._move_into_kernels(pretrained)
            self._kernels = why_not is None
            if why_not is not None:
                _fall_back(why_not)

    def _load_weights(self, pretrained: str, **options: Any) -> None:
        if not self._state_spaces:
            super()._load_weights(pretrained, **options)
            return
        for name, value in options.items():
            if name not in _OF_STATE_SPACES and is_given(name, value):
                raise UserError(
                    f"{name}= is for transformers' layout only, and {pretrained} has the state-spaces layout; leave it "
                    "out, or save the model in the other: MambaLM(...).model.save_pretrained(folder)"
                )
        tensors = read_weights(pretrained, options["revision"], options["subfolder"])
        dtype = options["dtype"]
        if dtype == "auto":
            # The tensors of the recurrence are float32 in many a checkpoint in half precision.
            dtype = tensors.get("backbone.embedding.weight", next(iter(tensors.values()))).dtype
        if is_hybrid(self._config_json):
            self._model = mamba_kernels.build_kernel_model(self._config_json, tensors, self.device, dtype, pretrained)
            trial = self.tokenizer(_TRIAL, return_tensors="pt").input_ids
            why_not = mamba_kernels.find_difference(self._model, None, trial, expected=None)
            if why_not is not None:
                raise UserError(f"{pretrained}: mamba-ssm's own model answers wrongly here ({why_not})")
        else:
            for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
                setattr(self._config, name, getattr(self.tokenizer, name))
            config = cast("MambaConfig | Mamba2Config", self._config)
            self._model = build_transformers_model(config, tensors, dtype, pretrained).to(self.device)

    def _move_into_kernels(self, pretrained: str) -> str | None:
        """Put transformers' model into mamba-ssm's, and try that on a prompt; return why it stays as it was."""
        model: Any = find_state_space_model(self._model)
        if model is None or model is not self._model:
            return "they take neither a model that PEFT wraps nor one that is spread over devices"
        config = translate_back(model.config)
        if config is None:
            return "they know one norm epsilon, activation and range of step sizes, and config.json asks for others"
        trial = self.tokenizer(_TRIAL, return_tensors="pt").input_ids
        with torch.no_grad():
            hidden, _ = take_in(model, trial.to(self.device), empty_states(model, 1))
            expected = logits_of(model, hidden)[0]
        model.to("cpu")  # so that the device holds the weights once
        try:
            tensors = name_as_state_spaces(model.state_dict())
            moved = mamba_kernels.build_kernel_model(config, tensors, self.device, model.dtype, pretrained)
            step_graphs = StepGraphs(moved, self.device)
            why_not = mamba_kernels.find_difference(moved, step_graphs, trial, expected)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - each kernel refuses the shapes that it was not written for
            why_not = first_line(error)
        if why_not is not None:
            model.to(self.device)
            return why_not
        self._model, self._step_graphs = moved, step_graphs
        self._model.generation_config = model.generation_config
        return None

    def _model_call(self, inps: torch.Tensor, *tensors: Any, **options: Any) -> torch.Tensor:
        model = find_state_space_model(self.model)
        if model is None:
            logits: torch.Tensor = super()._model_call(inps, *tensors, **options)
            return logits
        with torch.no_grad(), self._autocast():
            hidden, _ = take_in(model, inps, empty_states(model, len(inps)))
            return logits_of(model, hidden)

    def _find_layer_caches(self) -> Sequence[LayerCache] | None:
        if is_hybrid(self._config_json):
            return None  # mamba-ssm's attention has a cache of its own
        model = find_state_space_model(self.model)
        if model is not None:
            states: Iterable[Sequence[torch.Tensor]] = empty_states(model, rows=1)
        elif self._kernels:
            states = new_parameters(self.model, room=1).key_value_memory_dict.values()
        else:
            return super()._find_layer_caches()
        return [LayerCache(state=sum(part.nbytes for part in parts), token=0, window=None) for parts in states]

    def _new_run(self, room: int) -> Run:
        model = find_state_space_model(self.model)
        if model is not None:
            return MambaRun(model, self.device, self._tell_tokens)
        return KernelRun(self.model, self.device, room, self._step_graphs)

    def _new_trust(self) -> Trust:
        return Trust(wary=self._kernels)

    def _is_plain(self, settings: dict[str, Any]) -> bool:
        runs_here = self._kernels or find_state_space_model(self.model) is not None
        return runs_here and super()._is_plain(settings)

    def _rows_per_batch(self) -> int:
        # The attention layers of a hybrid keep a cache as long as the text, which the kernels' run does not stack.
        return 1 if is_hybrid(self._config_json) else super()._rows_per_batch()

    def _decode_with_transformers(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], settings: dict[str, Any]
    ) -> list[Answer]:
        if self._kernels:
            raise UserError("mamba-ssm's kernels decode greedily only; add use_kernels=False to sample or search")
        return super()._decode_with_transformers(prompts, limits, settings)


def _fall_back(why: str) -> None:
    _log.warning("transformers' Mamba runs instead of mamba-ssm's kernels, with the same results but slower: %s", why)
