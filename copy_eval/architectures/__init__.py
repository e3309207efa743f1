"""Architectures that transformers does not have, written as its own are; importing this package registers them.

Their checkpoints are ordinary folders. ``AutoModelForCausalLM`` and every adapter load them without remote code: the
bridge imports this package once transformers' Auto classes are loaded.
"""

from transformers import AutoConfig, AutoModelForCausalLM

from copy_eval.architectures.lstm import LSTMConfig, LSTMForCausalLM
from copy_eval.architectures.position_bias import PositionBiasConfig, PositionBiasForCausalLM

__all__ = ["LSTMConfig", "LSTMForCausalLM", "PositionBiasConfig", "PositionBiasForCausalLM"]

for _config, _model in ((LSTMConfig, LSTMForCausalLM), (PositionBiasConfig, PositionBiasForCausalLM)):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForCausalLM.register(_config, _model, exist_ok=True)
