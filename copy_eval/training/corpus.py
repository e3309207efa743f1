"""English text that every machine with lm-eval has, so that training needs no download.

The task descriptions, READMEs and worked examples of lm-eval, and the reference chapters of Python itself: two
megabytes of prose, questions, tables and code. None of it is C4, which the checkpoints are measured on. The texts
differ a little from one release of lm-eval and of Python to the next.
"""

import re
from pathlib import Path
from pydoc_data.topics import topics

import lm_eval.tasks
import yaml

_SHORTEST_TEXT = 200  # characters
_FEWEST_FUNCTION_WORDS = 0.08
_FUNCTION_WORD = re.compile(r"\b(?:the|of|and|to|is|in|that|for|it|with)\b", re.IGNORECASE)


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
