"""Architectures that transformers does not have, written as its own are; importing this package registers them.

Their checkpoints are ordinary folders. Every adapter of lm-eval that loads with transformers loads them without remote
code, since the bridge imports this package with lm-eval's ``hf``; elsewhere, import it before ``from_pretrained``.
"""

from transformers import AutoConfig, AutoModelForCausalLM

from copy_eval.architectures.lstm import LSTMConfig, LSTMForCausalLM
from copy_eval.architectures.position_bias import PositionBiasConfig, PositionBiasForCausalLM

__all__ = ["LSTMConfig", "LSTMForCausalLM", "PositionBiasConfig", "PositionBiasForCausalLM"]

for _config, _model in ((LSTMConfig, LSTMForCausalLM), (PositionBiasConfig, PositionBiasForCausalLM)):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForCausalLM.register(_config, _model, exist_ok=True)
