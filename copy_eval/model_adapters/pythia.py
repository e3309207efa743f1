"""``--model pythia``: Pythia, and any other causal language model in transformers' layout."""

from typing import Any

from copy_eval.errors import UserError
from copy_eval.model_adapters.adapter import ExactLM
from copy_eval.model_adapters.attention import AttentionRun
from copy_eval.model_adapters.decoding import Run


class PythiaLM(ExactLM):
    """A Transformer: ``lm_eval --model pythia --model_args pretrained=EleutherAI/pythia-410m,revision=step3000``."""

    adapter = "pythia"

    def _get_config(self, pretrained: str, **options: Any) -> None:
        if self._state_spaces:
            raise UserError(f"pretrained={pretrained}: a checkpoint in the state-spaces layout; use --model mamba_ssm")
        super()._get_config(pretrained, **options)

    def _new_run(self, room: int) -> Run:  # noqa: ARG002
        return AttentionRun(self.model, self.device, self.tokenizer.pad_token_id)

    def _is_plain(self, settings: dict[str, Any]) -> bool:
        # A recurrent or hybrid model cannot be padded; transformers' generate runs it, a prompt at a time.
        return not getattr(self.model, "_is_stateful", False) and super()._is_plain(settings)
