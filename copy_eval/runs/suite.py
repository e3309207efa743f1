"""What is to be evaluated: models, tasks and settings, from a YAML file or the command line.

A suite file::

    models:
      - adapter: pythia                     # or mamba_ssm, hf, vllm ...: lm-eval's --model
        pretrained: EleutherAI/pythia-410m  # a hub id, a folder, a packaged checkpoint, or a pattern: runs/step*;
                                            # $NAME, ${NAME} and ~ are filled in
        revision: [step1000, step143000]    # on the hub; the default branch if left out
        dtype: bfloat16
        batch_size: 16
    tasks: [phonebook_copy, c4_copy_200]
    settings:
      num_samples: 100
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelEntry:
    """A checkpoint and how to load it."""

    name: str
    """Unique in the suite; names the folder of the results, and the model in reports if it is not the checkpoint's."""

    adapter: str
    """lm-eval's ``--model``."""

    pretrained: str
    """A hub id, the absolute path of a folder, or a packaged checkpoint."""

    revisions: tuple[str | None, ...] = (None,)
    """Branches, tags or commits on the hub; None is the default branch."""

    dtype: str | None = None
    """Of the weights; None leaves it to the adapter."""

    batch_size: int | str = 1
    """Prompts at once, or ``auto``; results do not depend on it."""

    gpus: float | None = None
    """GPUs that Ray sets aside for it, and spreads it over if they are several; None leaves it to the runner."""

    model_args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further arguments of the adapter."""

    def arguments(self, revision: str | None) -> dict[str, Any]:
        """Return lm-eval's ``--model_args`` for one revision."""
        given = {"pretrained": self.pretrained, "revision": revision, "dtype": self.dtype}
        return {key: value for key, value in given.items() if value is not None} | dict(self.model_args)


@dataclass(frozen=True)
class Cell:
    """One model at one revision on one task: the unit that is evaluated, skipped or failed."""

    model: ModelEntry
    revision: str | None
    task: str

    @property
    def label(self) -> str:
        """The model's name, with the revision if one is asked for."""
        return self.model.name if self.revision is None else f"{self.model.name}@{self.revision}"


@dataclass(frozen=True)
class Suite:
    """Every model on every task, with the same prompts."""

    name: str
    models: tuple[ModelEntry, ...]
    tasks: tuple[str, ...]
    """Names of single tasks (``phonebook_copy_10``), groups resolved."""

    settings: Mapping[str, int | str] = field(default_factory=dict, hash=False)
    """lm-eval's ``--metadata``: ``num_samples``, ``data_seed``, ``c4_path``, ``squad_path``, ``length_tokenizer``."""

    def cells(self) -> list[Cell]:
        """Return the cells, those of one model and revision together."""
        return [
            Cell(model, revision, task) for model in self.models for revision in model.revisions for task in self.tasks
        ]
