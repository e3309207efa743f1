"""Multi-query associative recall: see the README for the experiment and generator.py for a prompt."""
