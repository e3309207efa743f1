"""The two model adapters, ``--model pythia`` and ``--model mamba_ssm``, and the decoding that they share."""
