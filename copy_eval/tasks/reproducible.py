"""Texts that a tokenizer cannot write: one that normalises (NFKC, small letters) gives another text back."""

from collections.abc import Callable, Sequence


def find_unreproducible(
    texts: Sequence[str], encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]
) -> list[int]:
    """Return the places of the texts that are others after encoding and decoding; space at their ends does not count.

    Args:
        texts: what a model is to write.
        encode: from text to tokens, as a model's prompts are encoded; a mark at the beginning or end may be added.
        decode: from tokens to text, as a model's answers are decoded: without such marks.
    """
    return [place for place, text in enumerate(texts) if decode(encode(text)).strip() != text.strip()]


def describe_unreproducible(task: str, answers: Sequence[str], found: Sequence[int]) -> str:
    """Say in one line that the model's tokenizer cannot write the answers at the places ``found``.

    Args:
        task: its name.
        answers: all of its answers.
        found: as ``find_unreproducible`` returns it; at least one.
    """
    return (
        f"{task}: the model's tokenizer cannot write {len(found)} of {len(answers)} answers (it changes letters or "
        "spaces, as with Unicode normalisation or small letters): their exact match is 0 whatever the model copies"
    )
