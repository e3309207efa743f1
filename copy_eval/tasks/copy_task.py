"""What our tasks add to lm-eval's: a fingerprint of the prompts, and no score for a length that does not fit.

And standard errors of the clusters, where questions share a book or an article.

Our own adapters refuse a prompt that does not fit the context. lm-eval's backends cut it, so for them the task itself
counts the tokens before the model is asked.

The YAML files name the pure functions that build the data and score an answer; this class only adapts them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from math import sqrt
from typing import Any, Self

import numpy as np
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from copy_eval.checkpoint_fingerprint import fingerprint_model
from copy_eval.clusters import clustered_variance
from copy_eval.errors import UserError
from copy_eval.over_context import OVER_CONTEXT, is_over_context, tokens_that_fit
from copy_eval.task_description import KEY, TaskDescription, read_description
from copy_eval.tasks.fingerprint import fingerprint
from copy_eval.tasks.reproducible import describe_unreproducible, find_unreproducible
from copy_eval.tasks.settings import find_other_count, refuse_near_misses

_log = logging.getLogger(__name__)

Aggregation = Callable[[Sequence[Any]], Any]


@cache
def _tell_once(warning: str) -> None:
    """Log a warning that holds for every length of a task, when the first is built."""
    _log.warning("%s", warning)


class ClusteredScore(float):
    """A score that knows the cluster of its record: lm-eval hands on the scores alone."""

    cluster: str

    def __new__(cls, score: float, cluster: str) -> Self:
        """Make a number of a score."""
        made = super().__new__(cls, score)
        made.cluster = cluster
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        # lm-eval gathers the scores of several processes.
        return type(self), (float(self), self.cluster)


class UnlessOverContext:
    """An aggregation of lm-eval's that gives ``OVER_CONTEXT`` if one sample was refused.

    lm-eval looks up the standard error of an aggregation by equality. So this one equals the aggregation it stands for,
    but only as long as that one was applied to independent scores: after a refusal there is nothing whose error could
    be estimated, and that of clustered scores is ``standard_error``.
    """

    def __init__(self, aggregation: Aggregation) -> None:
        self._aggregation = aggregation
        self._is_plain = True
        self.is_clustered = False

    def __call__(self, values: Sequence[Any]) -> Any:
        """Aggregate the values of one metric, a sample each."""
        refused = OVER_CONTEXT in values
        has_clusters = any(isinstance(value, ClusteredScore) for value in values)
        self._is_plain = not (refused or has_clusters)
        self.is_clustered = has_clusters and not refused and self._aggregation is mean
        return OVER_CONTEXT if refused else self._aggregation(values)

    @staticmethod
    def standard_error(values: Sequence[ClusteredScore]) -> float | str:
        """Return the standard error of the mean of clustered scores; lm-eval's ``N/A`` for a single cluster."""
        clusters = [value.cluster for value in values]
        return sqrt(clustered_variance(np.array(values, float), clusters)) if len(set(clusters)) > 1 else "N/A"

    def __eq__(self, other: object) -> bool:
        return other is self or (other is self._aggregation and self._is_plain)

    def __hash__(self) -> int:
        return hash(self._aggregation)


class CopyTask(ConfigurableTask):
    """A YAML task whose ``custom_dataset`` is called with the metadata and the ``dataset_kwargs``.

    Its records hold at least ``prompt``, ``answer`` and ``index``, their place in the dataset. What the task says of
    itself stands in the metadata (``copy_eval.task_description``).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    _description = TaskDescription()
    _lm: Any = None
    _cut: frozenset[int] = frozenset()
    """Places of the prompts that the model's backend cuts."""

    def meet_model(self, lm: Any) -> None:
        """Take note of the model that the next requests go to; the bridge calls this before ``evaluate``."""
        self._lm = lm

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """Build the dataset, and log the description and the fingerprint of the prompts with the configuration.

        Raises:
            UserError: for a misspelt setting, a description that is none, or records without a field that all have.
        """
        name, metadata, arguments = self.config.task or "", self.config.metadata, dataset_kwargs or {}
        self._description = read_description(name, metadata, arguments)
        refuse_near_misses(metadata, self._description.settings)
        if other := find_other_count(metadata, self._description.settings):
            _tell_once(f"{other[0]} has no effect on {self._description.title or name}; its setting is {other[1]}")
        self.dataset = self.config.custom_dataset(metadata, **arguments)
        test = self.dataset[self.config.test_split]
        if missing := {"prompt", "answer", "index"} - set(test.column_names):
            raise UserError(f"{name}: its records have no {' and no '.join(sorted(missing))}")
        metadata[KEY] = self._description.model_dump(exclude_none=True)
        metadata["prompts_sha256"] = fingerprint(zip(test["prompt"], test["answer"], strict=True))

    def build_all_requests(self, **kwargs: Any) -> None:
        """Build the requests, or let lm-eval take them from its cache.

        Raises:
            UserError: if the cache, which knows only the task's name, holds the prompts of other settings.
        """
        super().build_all_requests(**kwargs)
        docs = self.eval_docs
        for instance in self.instances:
            index = instance.doc["index"]
            if index >= len(docs) or docs[index] != instance.doc:
                raise UserError(
                    f"lm-eval's request cache is of other settings of {self.task_name}: use --cache_requests refresh"
                )

        self._check_context()
        self._check_tokenizer()
        # lm-eval's own backends do not say which weights lay in a folder; what cannot be read is for them to tell.
        with suppress(UserError):
            self.config.metadata["weights_sha256"] = fingerprint_model(self.config.metadata)
        self._lm = None  # a task outlives the model, whose memory the next one needs

    def _check_context(self) -> None:
        """Find the prompts that the model's backend will cut, and log whether that could be found out."""
        checked = getattr(self._lm, "refuses_over_context", False)
        cut = set()
        for instance in self.instances:
            prompt, gen_kwargs = instance.args
            most = None if checked else tokens_that_fit(self._lm, gen_kwargs)
            if most is None:
                break
            if len(self._lm.tok_encode(prompt)) > most:
                cut.add(instance.doc["index"])
        else:
            checked = True
        self._cut = frozenset(cut)
        self.config.metadata["context_checked"] = checked
        if cut:
            _log.warning(
                "%s: %d prompts exceed the model's context, and its backend cuts them; they are not scored",
                self.task_name, len(cut),
            )  # fmt: skip

    def _check_tokenizer(self) -> None:
        """Warn of a tokenizer that cannot write the answers, where they have to be written letter by letter."""
        if not self._description.verbatim:
            return
        tokenizer: Any = getattr(self._lm, "tokenizer", None) if hasattr(self._lm, "tok_encode") else None
        if not hasattr(tokenizer, "all_special_ids"):
            return  # none of transformers'
        answers = [instance.doc["answer"] for instance in self.instances]
        encode, decode = partial(tokenizer.encode, add_special_tokens=False), tokenizer.decode
        if found := find_unreproducible(answers, encode, decode):
            _log.warning("%s", describe_unreproducible(self.task_name, answers, found))

    def process_results(self, doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
        """Score one answer; a prompt that was refused or cut has ``OVER_CONTEXT`` in the place of every score."""
        if doc["index"] in self._cut or is_over_context(results[0]):
            return dict.fromkeys(self._aggregation_list, OVER_CONTEXT)
        scores: dict[str, Any] = super().process_results(doc, results)
        cluster = None if self._description.cluster is None else doc.get(self._description.cluster)
        if cluster is None:
            return scores
        return {
            metric: ClusteredScore(score, str(cluster)) if isinstance(score, float) else score
            for metric, score in scores.items()
        }

    def aggregation(self) -> dict[str, Aggregation]:
        """Return the aggregation of each metric; each heeds refusals."""
        return {metric: UnlessOverContext(aggregation) for metric, aggregation in self._aggregation_list.items()}
