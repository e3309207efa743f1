"""Measures how well a language model copies and retrieves from its own context, as an lm-evaluation-harness plugin."""

__version__ = "0.1.0"
