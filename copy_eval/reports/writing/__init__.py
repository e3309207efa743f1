"""Tables as texts, and files that are written whole or not at all."""
