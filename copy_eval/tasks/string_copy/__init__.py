"""Copying a random string: see the README for the experiment and generator.py for a prompt."""
