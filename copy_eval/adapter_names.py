"""The names of our adapters, and the class behind each."""

MODELS = {
    "mamba_ssm": "copy_eval.model_adapters.mamba:MambaLM",
    "pythia": "copy_eval.model_adapters.pythia:PythiaLM",
    "copy_hf": "copy_eval.model_adapters.pythia:PythiaLM",
    "copy_eval_mamba_ssm": "copy_eval.model_adapters.mamba:MambaLM",
    "copy_eval_pythia": "copy_eval.model_adapters.pythia:PythiaLM",
}
"""Our adapters by the names of ``--model``; nobody else has those that begin ``copy_``."""
