"""``copy-eval gate``: an evaluation against a baseline."""
