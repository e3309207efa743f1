"""Trains the two small checkpoints that the package carries: ``python -m copy_eval.training``."""
