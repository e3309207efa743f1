"""``copy-eval verify``: whether every way of running a model gives the answers that the model gives by itself."""
