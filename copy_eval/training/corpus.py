"""The English texts that the packaged checkpoints learn from, and the tokenizer that is learned from them.

The texts are what every machine with lm-eval has, so that training needs no download: the task descriptions, READMEs
and worked examples of lm-eval, and the reference chapters of Python itself, two megabytes of prose, questions, tables
and code. None of it is C4, which the checkpoints are measured on. The texts differ a little from one release of lm-eval
and of Python to the next.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from pydoc_data.topics import topics

import lm_eval.tasks
import yaml
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_SHORTEST_TEXT = 200  # characters
_FEWEST_FUNCTION_WORDS = 0.08
_FUNCTION_WORD = re.compile(r"\b(?:the|of|and|to|is|in|that|for|it|with)\b", re.IGNORECASE)

VOCABULARY_SIZE = 2048
END_OF_TEXT = "<|endoftext|>"

# GPT-2's pattern with two changes: a number is split into digits, so that no number has a token of its own, and a line
# break is never merged with what surrounds it, so that a blank line always reads the same.
_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\n|\s+(?!\S)|\s+"


class _PlainLoader(yaml.CSafeLoader):
    """Reads lm-eval's task files; what their tags (``!function``) stand for is of no interest here."""


_PlainLoader.add_multi_constructor("!", lambda *_: None)


def _strings_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in _strings_in(item)]
    return []


def _is_english(text: str) -> bool:
    """Tell long English texts from short ones and from the languages that lm-eval's tasks are translated into."""
    enough = _FEWEST_FUNCTION_WORDS * len(text.split())
    return len(text) >= _SHORTEST_TEXT and len(_FUNCTION_WORD.findall(text)) >= enough


def read_corpus() -> list[str]:
    """Return the texts, each once, white space folded to single spaces, in a fixed order."""
    folder = Path(lm_eval.tasks.__file__).parent
    texts = [topics[key] for key in sorted(topics)]
    texts.extend(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.md")))
    for path in sorted(folder.rglob("*.yaml")):
        if path.stat().st_size >= _SHORTEST_TEXT:
            texts.extend(_strings_in(yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)))
    folded = (re.sub(r"\s+", " ", text).strip() for text in texts)
    return list(dict.fromkeys(text for text in folded if _is_english(text)))


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learn the merges from ``texts``; the same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
