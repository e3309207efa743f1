"""What a task says of itself, for reports, suites and dry runs: none of them holds a table of tasks.

It stands in the metadata of the task's YAML file, below one key that is no argument of any model::

    metadata:
      num_samples: 200
      copy_eval:
        title: phonebook_copy
        description: The prompt is a phonebook; the answer is the number of one person in it.
        unit: entries in the phonebook
        settings: {num_samples: count}
        prompt_tokens: {each: 10.29, besides: 28}
        variants:
          dashed: {title: phonebook_copy_dashed}   # with `variant: dashed` in the dataset_kwargs

lm-eval writes the metadata into its result files, so that a report needs nothing else. ``CopyTask`` resolves the
variant before.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from copy_eval.errors import UserError, first_problem

KEY = "copy_eval"
"""Where the description stands in a task's metadata."""

_VARIANTS = "variants"

Line = Annotated[str, Field(strict=True, min_length=1, max_length=1000)]

Number = Annotated[float, Field(ge=-1e6, le=1e6)]

SettingKind = Literal["count", "number", "depths", "file", "name"]
"""A whole number of at least 1; any whole number; how many depths or which; an existing file; a name or a path."""


class ByLength(BaseModel):
    """An amount by length: so much for each unit of length, and so much besides."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    each: Number = 0.0
    besides: Number = 0.0

    def at(self, length: float) -> float:
        """Return the amount of a length."""
        return self.each * length + self.besides


class Tokens(ByLength):
    """Tokens by length, as whole numbers."""

    def at(self, length: float) -> int:
        """Return the tokens of a length."""
        return round(super().at(length))


class TaskDescription(BaseModel):
    """The description of one task, its variant resolved; each entry has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: Line | None = None
    """What reports call the task without its length; the lengths of one title make one curve."""
    description: Line | None = None
    """What the task asks, in a sentence."""
    unit: Line = "length"
    """What a length counts."""
    headline_metric: Line = "exact_match"
    """The metric that tables and charts show."""
    verbatim: bool = True
    """Whether an answer has to be written letter by letter: false where scores ignore case or space."""
    depth: Line = "depth"
    """The field of a record that tells where in the prompt the answer stands, from 0 to 1; records may lack it."""
    cluster: Line | None = None
    """The field of a record that names what it shares with others, such as a book; None where all are independent."""
    prompts: tuple[Line, ...] = Field(default=("num_samples",), strict=False)
    """The settings whose product is the number of prompts."""
    settings: dict[Line, SettingKind] = Field(default_factory=dict)
    """What ``--metadata`` may override; the defaults stand beside the description."""
    prompt_tokens: Tokens | None = None
    """Tokens of a prompt by length, for the GPT-NeoX tokenizer: for a dry run that cannot count them."""
    answer_tokens: Tokens | None = None
    """Tokens of a right answer by length, likewise."""
    material_bits: ByLength | None = None
    """Bits that a model must have kept when the question comes, so that it could answer any: of a book of N numbers,
    those of N numbers."""
    asked_bits: ByLength | None = None
    """Bits of them that one question asks for; all of them where this is left out."""


def read_description(name: str, metadata: Mapping[str, Any], dataset_kwargs: Mapping[str, Any]) -> TaskDescription:
    """Return how a task describes itself.

    Args:
        name: of the task, for errors.
        metadata: that of the task's definition.
        dataset_kwargs: those of its definition; ``variant`` counts.

    Raises:
        UserError: if an entry is unknown or is not what it should be.
    """
    given = metadata.get(KEY, {})
    variants = given.get(_VARIANTS, {}) if isinstance(given, Mapping) else None
    of_variant = variants.get(dataset_kwargs.get("variant"), {}) if isinstance(variants, Mapping) else None
    if not isinstance(of_variant, Mapping):
        raise UserError(f"{name}: metadata.{KEY}, its variants and each of them must be mappings")
    entries = {key: value for key, value in {**given, **of_variant}.items() if key != _VARIANTS}
    try:
        return TaskDescription.model_validate(entries)
    except ValidationError as error:
        raise UserError(f"{name}: metadata.{KEY}.{first_problem(error)}") from error
