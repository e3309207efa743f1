"""Evaluates the models of a suite on its tasks, through lm-eval, and goes on where an earlier run stopped.

``suite`` says what is to be evaluated, ``evaluator`` evaluates it (``ray_pool`` on several workers), ``results_folder``
holds what is done, and ``cost`` estimates it all in advance.
"""
