"""The records of n-grams to look up as lm-eval takes them."""

from collections.abc import Mapping

from datasets import DatasetDict

from copy_eval.tasks.ngram_lookup.generator import SHORTEST, draw_example
from copy_eval.tasks.settings import read_whole_number
from copy_eval.tasks.synthetic_dataset import build_records


def build_dataset(metadata: Mapping[str, object], length: int, variant: str) -> DatasetDict:
    """Draw the records of one task.

    Args:
        metadata: see ``build_records``.
        length: letters of each string.
        variant: one of ``generator.VARIANTS``.

    Raises:
        UserError: for a value that does not fit.
    """
    letters = read_whole_number({"length": length}, "length", minimum=SHORTEST)
    return build_records(metadata, lambda data_seed, index: draw_example(data_seed, letters, index, variant))
