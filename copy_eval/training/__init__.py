"""Trains small models from scratch: those of the synthetic experiments, and the checkpoints that the package carries.

``trainer`` is the one loop, and ``curriculum`` what it asks of the examples that a model learns from. An experiment is
read by ``experiment``, kept in an ``experiment_folder``, and learns ``examples`` with ``architectures``; the packaged
checkpoints learn ``phonebooks_and_texts``.
"""
