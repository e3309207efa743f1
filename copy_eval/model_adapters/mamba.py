"""``--model mamba_ssm``: Mamba and Mamba-2, in the state-spaces layout or that of transformers."""

import logging
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers import Mamba2Config, MambaConfig, PretrainedConfig

from copy_eval.errors import UserError
from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.arguments import is_given
from copy_eval.model_adapters.checkpoints import find_file, read_weights
from copy_eval.model_adapters.decoding import Answer, Run
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.mamba_forward import empty_states, find_state_space_model, logits_of, take_in
from copy_eval.model_adapters.mamba_kernels import KernelRun, StepGraphs, build_kernel_model, have_kernels
from copy_eval.model_adapters.mamba_run import MambaRun
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

PILE_TOKENIZER = "EleutherAI/gpt-neox-20b"
"""The tokenizer of every state-spaces checkpoint; their repositories carry none."""


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
        if self._kernels and not is_hybrid(self._config_json):  # whose states grow
            self._step_graphs = StepGraphs(self.model, self.device)

    @property
    def context_length(self) -> int | None:
        """``max_length=`` where it is given: a state has no positions to run out of."""
        return self._max_length or None

    def _get_config(self, pretrained: str, **options: Any) -> None:
        if self._is_hf is not None and self._is_hf == self._state_spaces:
            layout = "the state-spaces layout" if self._state_spaces else "transformers' layout"
            raise UserError(f"is_hf={self._is_hf}: config.json has {layout}; leave is_hf out")
        on_cuda = self.device.type == "cuda"
        self._kernels = self._use_kernels and on_cuda and have_kernels()
        if on_cuda and not have_kernels():
            _log.warning(
                "mamba-ssm is not installed: transformers' Mamba runs instead, with the same results but slower; "
                "pip install --no-build-isolation mamba-ssm causal-conv1d"
            )
        if self._kernels and is_hybrid(self._config_json):
            self._config = PretrainedConfig()
        elif self._state_spaces:
            self._config = translate_config(self._config_json, pretrained)
        elif self._config_json.get("model_type") in ("mamba", "mamba2"):
            super()._get_config(pretrained, **options)
        else:
            kind = self._config_json.get("model_type", "model with code of its own")
            raise UserError(f"pretrained={pretrained}: neither Mamba nor Mamba-2 ({kind}); use --model copy_hf")

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **options: Any) -> None:
        if self._state_spaces and not tokenizer:
            where = {"revision": str(options["revision"]), "subfolder": options.get("subfolder") or ""}
            if find_file(pretrained, "tokenizer.json", **where) is None:
                tokenizer = PILE_TOKENIZER
        super()._create_tokenizer(pretrained, tokenizer, **options)

    def _create_model(self, pretrained: str, **options: Any) -> None:
        if self._kernels and self._mixed_precision is not None:
            raise UserError(
                f"mixed_precision_dtype={self._mixed_precision}: mamba-ssm's kernels step in one dtype; "
                "use dtype=, or add use_kernels=False"
            )
        if self._kernels and options["peft"]:
            if is_hybrid(self._config_json):
                raise UserError(f"peft={options['peft']}: mamba-ssm's own model, the only one for hybrids, takes none")
            self._kernels = False  # PEFT wraps the modules of transformers' model
        super()._create_model(pretrained, **options)
        if not self._state_spaces:
            self._kernels = self._kernels and self._move_into_kernels(pretrained)

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
            dtype = next(iter(tensors.values())).dtype
        if self._kernels:
            self._model = build_kernel_model(self._config_json, tensors, self.device, dtype, pretrained)
        else:
            for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
                setattr(self._config, name, getattr(self.tokenizer, name))
            config = cast("MambaConfig | Mamba2Config", self._config)
            self._model = build_transformers_model(config, tensors, dtype, pretrained).to(self.device)

    def _move_into_kernels(self, pretrained: str) -> bool:
        """Put transformers' model into mamba-ssm's; return whether it is one that mamba-ssm has."""
        model = find_state_space_model(self._model)
        config = None if model is None else translate_back(model.config)
        if model is not self._model or config is None:  # spread over devices, or other
            return False
        tensors = name_as_state_spaces(model.state_dict())
        self._model = build_kernel_model(config, tensors, self.device, model.dtype, pretrained)
        self._model.generation_config = model.generation_config
        return True

    def _model_call(self, inps: torch.Tensor, *tensors: Any, **options: Any) -> torch.Tensor:
        model = find_state_space_model(self.model)
        if model is None:
            logits: torch.Tensor = super()._model_call(inps, *tensors, **options)
            return logits
        with torch.no_grad(), self._autocast():
            hidden, _ = take_in(model, inps, empty_states(model, len(inps)))
            return logits_of(model, hidden)

    def _new_run(self, room: int) -> Run:
        model = find_state_space_model(self.model)
        if model is not None:
            return MambaRun(model, self.device)
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
