"""Looking an n-gram up: see the README for the experiment and generator.py for a prompt."""
