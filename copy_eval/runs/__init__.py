"""Evaluates the models of a suite on its tasks, through lm-eval, and goes on where an earlier run stopped."""
