"""Questions about a paragraph: see the README for the experiment and paragraphs.py for a prompt."""
