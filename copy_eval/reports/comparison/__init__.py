"""``copy-eval compare``: two evaluations, length by length."""
