"""Trains the two small checkpoints that the package carries: ``python -m copy_eval.training``.

The recipes stand in ``__main__``; ``data`` is what is learned, ``models`` what learns it, ``loop`` how, and ``export``
writes and describes the checkpoint.
"""
