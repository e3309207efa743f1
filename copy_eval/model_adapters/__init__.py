"""The two model adapters, ``--model copy_hf`` (``pythia``) and ``--model mamba_ssm``, and the decoding that they share.

From the arguments to a model: ``arguments``, ``checkpoints`` and ``loading``; ``state_spaces_layout`` for those of
state-spaces/mamba.

From a request to its answer: ``adapter``, then the loop in ``decoding`` with the drafts of ``drafting``, and one run a
kind of model: ``attention``, ``mamba_run`` (whose forward pass is ``mamba_forward``), and ``mamba_kernels`` on CUDA.
"""
