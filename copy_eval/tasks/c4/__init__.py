"""Copying text: see the README for the experiment and chunks.py for a prompt."""
