"""Real public texts that lie beside the project; a test that needs them skips where they are absent."""

from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2].parent / "shared" / "data"

C4_SAMPLE, SQUAD_PART, NEOX_TOKENIZER = (
    _FOLDER / name for name in ("c4-sample.jsonl", "squad-dev-v2-part.json", "gpt-neox-20b-tokenizer.json")
)

needs_real_data = pytest.mark.skipif(
    not all(file.is_file() for file in (C4_SAMPLE, SQUAD_PART, NEOX_TOKENIZER)),
    reason=f"no C4 sample, SQuAD part and GPT-NeoX tokenizer in {_FOLDER}; CONTRIBUTING.md says how to get them",
)
