"""An LSTM as a causal language model of transformers: layers with a residual connection and a norm before each.

Its state goes through transformers' cache for recurrent layers, so the adapters batch it and check drafts as they do
with any other recurrent model.
"""

from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import DynamicCache, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.models.mamba.modeling_mamba import MambaCausalLMOutput, MambaOutput


@strict
class LSTMConfig(PreTrainedConfig):
    """Width, layers and vocabulary."""

    model_type = "copy_eval_lstm"

    vocab_size: int = 32
    hidden_size: int = 128
    num_hidden_layers: int = 2
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    use_cache: bool = True

    @property
    def layer_types(self) -> list[str]:
        """The kind of each layer's cache: a state of fixed size."""
        return ["linear_attention"] * self.num_hidden_layers


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, hidden: Tensor, state: Tensor | None, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the new hidden states [row, token, width], and the state after the last token [row, 2, width]."""
        before = None if state is None else (state[None, :, 0].contiguous(), state[None, :, 1].contiguous())
        if padding is None:
            output, after = self.lstm(self.norm(hidden), before)
        else:
            tokens = hidden.shape[1]
            flush_left = _shift(self.norm(hidden), padding)
            packed = pack_padded_sequence(flush_left, (tokens - padding).cpu(), batch_first=True, enforce_sorted=False)
            packed, after = self.lstm(packed, before)
            output = _shift(pad_packed_sequence(packed, batch_first=True, total_length=tokens)[0], -padding)
        return hidden + output, torch.stack([part[0] for part in after], dim=1)


def _shift(rows: Tensor, by: Tensor) -> Tensor:
    """Return rows [row, token, width], each moved to the left by its own number of tokens, around the end."""
    tokens = rows.shape[1]
    places = (torch.arange(tokens, device=rows.device) + by[:, None]) % tokens
    return rows.gather(1, places[:, :, None].expand_as(rows))


class LSTMPreTrainedModel(PreTrainedModel):
    """How the weights begin."""

    config: LSTMConfig
    config_class = LSTMConfig
    base_model_prefix = "model"
    _is_stateful = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if not getattr(parameter, "_is_hf_initialized", False):
                    bound = module.hidden_size**-0.5
                    parameter.zero_() if "bias" in name else parameter.uniform_(-bound, bound)
                    if name == "bias_ih_l0":  # the forget gate is open at first (Jozefowicz et al. 2015)
                        parameter[module.hidden_size : 2 * module.hidden_size] = 1.0


class LSTMModel(LSTMPreTrainedModel):
    """The layers, without the head."""

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([_Layer(config.hidden_size) for _ in range(config.num_hidden_layers)])
        self.norm = nn.RMSNorm(config.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache_params: DynamicCache | None = None,
        use_cache: bool | None = None,
    ) -> MambaOutput:
        """Return what the head reads [row, token, width], and the cache where one is used.

        Args:
            input_ids: [row, token].
            attention_mask: [row, token], 0 for padding, which stands on the left; columns of earlier tokens may come
                before.
            cache_params: the states before, which move on.
            use_cache: whether to begin a cache where there is none.
        """
        if cache_params is None and use_cache:
            cache_params = DynamicCache(config=self.config)
        padding = None
        if attention_mask is not None:
            padding = (attention_mask[:, -input_ids.shape[1] :] == 0).sum(dim=1)
            padding = padding if padding.any() else None
        hidden = self.embeddings(input_ids)
        for index, layer in enumerate(self.layers):
            states: Any = None if cache_params is None else cache_params.layers[index]
            known = states is not None and states.is_recurrent_states_initialized[0]
            hidden, after = layer(hidden, states.recurrent_states[0] if known else None, padding)
            if states is not None:
                states.update_recurrent_state(after)
        return MambaOutput(last_hidden_state=self.norm(hidden), cache_params=cache_params)


class LSTMForCausalLM(LSTMPreTrainedModel, GenerationMixin):
    """The language model."""

    _tied_weights_keys = {"lm_head.weight": "model.embeddings.weight"}  # noqa: RUF012 - transformers' own form

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        self.model = LSTMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        # `generate` would ask its cache for a length, which one of states alone has not; the model makes its own.
        return False

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache_params: DynamicCache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> MambaCausalLMOutput:
        """Return the logits of the last ``logits_to_keep`` tokens (0 for all), and the cache where one is used."""
        output = self.model(input_ids, attention_mask, cache_params, use_cache)
        logits = self.lm_head(output.last_hidden_state[:, -logits_to_keep:])
        return MambaCausalLMOutput(logits=logits, cache_params=output.cache_params)
