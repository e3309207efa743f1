"""The records of strings to copy as lm-eval takes them."""

from collections.abc import Mapping

from datasets import DatasetDict

from copy_eval.errors import UserError
from copy_eval.tasks.settings import read_whole_number
from copy_eval.tasks.string_copy.generator import draw_example
from copy_eval.tasks.synthetic_dataset import build_records

_VARIANTS = ("plain", "duplicates")


def build_dataset(
    metadata: Mapping[str, object], length: int, variant: str = "plain", string_length: int | None = None
) -> DatasetDict:
    """Draw the records of one task.

    Args:
        metadata: see ``build_records``.
        length: letters of each string; of the variant ``duplicates``, letters of the n-gram that stands in it twice.
        variant: ``plain`` or ``duplicates``.
        string_length: letters of each string of the variant ``duplicates``.

    Raises:
        UserError: for a value that does not fit.
    """
    if variant not in _VARIANTS:
        raise UserError(f"unknown string_copy variant {variant!r}: choose one of {', '.join(_VARIANTS)}")
    given = {"length": length, "string_length": string_length}
    size = read_whole_number(given, "length", minimum=1)
    if variant == "plain":
        return build_records(metadata, lambda data_seed, index: draw_example(data_seed, size, index))
    letters = read_whole_number(given, "string_length", minimum=1)
    return build_records(metadata, lambda data_seed, index: draw_example(data_seed, letters, index, repeated=size))
