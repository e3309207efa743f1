"""Writes a trained model as a checkpoint folder, evaluates it, and describes both in its model card.

The weights are safetensors in half precision. tiny-pythia is written as transformers writes a GPT-NeoX, tiny-mamba in
the original layout of state-spaces/mamba.
"""

import copy
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import GPTNeoXForCausalLM, MambaForCausalLM, PreTrainedTokenizerFast

from copy_eval.model_adapters.state_spaces_layout import write_state_spaces
from copy_eval.reports.frames.results import read_results
from copy_eval.reports.statistics.accuracy import accuracy_by_length

_C4_LENGTHS = (25, 50, 100, 200, 300)

_CARD = """---
license: mit
library_name: transformers
pipeline_tag: text-generation
---

# {name}

{shape} Its {parameters} parameters
are stored in half precision. It was trained to be looked at, not to be used: it can look up numbers in a phonebook and
copy text, and nothing else.

tiny-pythia and tiny-mamba have the same size, tokenizer and recipe, and differ in the number of tokens. They show the
effect that copy-eval measures; they are no replication of the figures that the paper found for Pythia and Mamba.

## Training

- One command: `python -m copy_eval.training {name} --out DIR` (seed {seed}), with
  {versions}.
- {tokens} tokens, padding included: AdamW (betas 0.9 and 0.98, weight decay 0.05), learning rate 2e-3 with a warm-up of
  100 steps, a linear decay to zero from 58.5 % to 90 % of the run and another one, from a quarter, over the last 10 %;
  gradients clipped at norm 1, bfloat16 autocast on a CPU.
- Each step one batch of phonebooks (2 to 160 entries; a tenth with dashes in the numbers, a tenth with the question
  first) and one of texts that stand three times (4 to 600 tokens: 60 % random tokens, 10 % shuffled English, 30 %
  English from lm-eval's task descriptions and Python's manual; over the last 10 % of the run English only). The loss is
  on looked-up numbers and copies only.
- Lengths and, for random tokens, the alphabet start small and grow with the run.
- The tokenizer is a byte-level BPE of 2,048 entries with single digits, learned from the same English and from names.

Names and numbers are drawn from the same distribution as those of the evaluation, with another seed. The C4 texts below
are no part of the training data.

## Measured

Exact match of greedy decoding with lm-eval and the adapter `{adapter}`, float32 on a CPU, with 95 % Wilson intervals.
The texts of `c4_copy` are measured in the checkpoint's own tokens, and overlap where few documents were at hand.

| task | length | prompts | exact match | interval |
|---|---|---|---|---|
{rows}
"""


def export_checkpoint(
    model: GPTNeoXForCausalLM | MambaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write ``model`` and ``tokenizer`` to ``folder``; the model itself is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    half: Any = copy.deepcopy(model)
    half.half()
    if isinstance(half, MambaForCausalLM):
        write_state_spaces(half, folder)
    else:
        config = half.config.to_diff_dict() | {"architectures": [type(half).__name__], "dtype": "float16"}
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        weights = half.state_dict()
        # The head is tied to the embedding: transformers expects only the latter.
        weights.pop("lm_head.weight")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    # safetensors writes a file that nobody else may read, and the wheel would carry it so.
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)


def measure(folder: Path, adapter: str, results: Path, c4: Path | None) -> None:
    """Evaluate a checkpoint with the bare ``lm_eval`` command line.

    Args:
        folder: the checkpoint.
        adapter: lm-eval's ``--model``.
        results: folder for the result files.
        c4: JSON lines of C4 documents for ``c4_copy``, measured in the checkpoint's own tokens; None leaves it out.
    """
    runs = [("phonebook_copy", "num_samples=200")]
    if c4:
        runs.append(
            (",".join(f"c4_copy_{length}" for length in _C4_LENGTHS), f"c4_path={c4},length_tokenizer={folder}")
        )
    for tasks, metadata in runs:
        command = ["-m", "lm_eval", "run", "--model", adapter, "--model_args", f"pretrained={folder}", "--tasks", tasks]
        command += ["--metadata", metadata, "--batch_size", "16", "--output_path", str(results)]
        subprocess.run([sys.executable, *command], check=True)


def write_card(
    folder: Path, results: Path, *, name: str, shape: str, adapter: str, parameters: int, tokens: int, seed: int
) -> None:
    """Write ``README.md`` into a checkpoint's folder.

    Args:
        folder: the checkpoint.
        results: what ``measure`` wrote.
        name: of the checkpoint.
        shape: one sentence on the architecture.
        adapter: lm-eval's ``--model``.
        parameters: how many the model has.
        tokens: how many it saw.
        seed: of the training run.
    """
    accuracy = accuracy_by_length(read_results([results]))
    rows = [
        f"| {row.task} | {row.length} | {row.n} | {row.accuracy:.3f} | {row.low:.3f} to {row.high:.3f} |"
        for row in accuracy.itertuples()
    ]
    versions = ", ".join(
        [f"Python {platform.python_version()}", *(f"{package} {version(package)}" for package in ("lm_eval", "torch"))]
    )
    card = _CARD.format(
        name=name,
        shape=shape,
        adapter=adapter,
        parameters=f"{parameters:,}",
        tokens=f"{tokens:,}",
        seed=seed,
        versions=versions,
        rows="\n".join(rows),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
