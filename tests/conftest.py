"""What every test shares: no test may reach the network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before any test imports huggingface_hub, which reads it once
