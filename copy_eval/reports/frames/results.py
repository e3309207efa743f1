"""One tidy frame of any number of result files: runs merged, and models named.

No prompt counts twice, no two measurements mix unnoticed, and no two models share a name.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from copy_eval.clusters import clustered_variance
from copy_eval.errors import UserError
from copy_eval.measurement import describe_differences, share_weights
from copy_eval.reports.frames.result_files import as_json, find_result_files, keep_printable, read_rows
from copy_eval.reports.frames.samples import Sample, distinct, read_runs
from copy_eval.reports.frames.series import add_series

_log = logging.getLogger(__name__)

COLUMNS = {
    "model": "string",  # what `pretrained=` said; of a folder run/step1000, the run
    "revision": "string",  # branch, tag or commit; "main" by default
    "setup": "string",  # how it was loaded and what stood around its prompts, as JSON: see `copy_eval.measurement`
    "label": "string",  # these three for people: unique, short, in one line; see `add_labels`
    "step": "Int64",  # of a revision or a folder like step3000
    "adapter": "string",  # lm-eval's `--model`
    "architecture": "string",  # "transformer", "state space", "hybrid" or "recurrent"; missing where unknown
    "parameters": "Int64",  # missing where unknown
    "task": "string",  # the experiment, without the length: phonebook_copy
    "description": "string",  # what the task asks, in a sentence; missing where it does not say
    "series": "string",  # what may stand in one table: the task in one version on one text; see series.add_series
    "title": "string",  # the series for people
    "task_name": "string",  # lm-eval's: phonebook_copy_40, squad_by_length_100_150
    "length": "Int64",  # of a bucket its lower bound
    "length_name": "string",  # what to call it: 40, and of a bucket 100-150 or 400+
    "unit": "string",  # what a length counts: entries in the phonebook; "length" where the task does not say
    "material_bits": "Float64",  # what a model must keep of a prompt so that it could answer any question about it
    "asked_bits": "Float64",  # what one question asks of it; missing where that is all
    "memory_bytes": "Float64",  # what the model keeps of a prompt, on average; missing where no adapter of ours says it
    "training": "string",  # what `copy-eval train` says of the model, but for the seed, as JSON; missing for others
    "seed": "Int64",  # of that training
    "trained_from": "Int64",  # the shortest length that it learned; missing also where it learned another task
    "trained_to": "Int64",  # the longest
    "depth_field": "string",  # the field of a record that tells where in the prompt the answer stands
    "cluster_field": "string",  # the field of a record that names what it shares with others; missing without clusters
    "text": "string",  # what text the prompts were made of; missing where they are generated
    "headline": "string",  # the metric that stands for the task: exact_match, or f1 for SQuAD
    "metric": "string",
    "value": "Float64",  # 0 to 1; missing where over context, where nothing could be averaged, and without a number
    "stderr": "Float64",  # lm-eval's standard error; missing where it gives none
    "over_context": "boolean",  # at least one prompt of the length does not fit the model's context
    "context_checked": "boolean",  # whether it is known that no prompt was cut; lm-eval's own backends cut
    "n": "Int64",  # prompts
    "task_version": "string",
    "data_seed": "string",  # which prompts were drawn; missing where the run does not say
    "prompts_sha256": "string",  # fingerprint of the prompts; "pooled:..." if runs with several were pooled
    "date": "datetime64[us, UTC]",  # when the run began; of pooled runs, the newest
    "file": "string",  # path of the result file; of pooled runs, one a line
    "samples_sha256": "string",  # lm-eval's hash of the samples; missing without any; of pooled runs, one a line
}
"""Columns of the frame: a row for each model, revision, setup, task, length, metric, text and task version."""


def read_results(paths: Iterable[Path], pool: bool = False) -> pd.DataFrame:
    """Read every result file at or below ``paths``, and merge the runs.

    Of several runs of one measurement (``copy_eval.measurement``) on the same prompts the one with most of them
    counts, of these the newest. Of runs on different prompts of the same task, length and text (another ``data_seed``)
    one counts too; with ``pool`` such runs become one, each distinct prompt counted once. A warning names what was
    left out.
    Different versions of a task, and different texts, stay rows of their own.

    What is unusable, a whole file or one of its tasks, is skipped, and a line says what is wrong with it. Files without
    results of our tasks are passed over, and a warning names them.

    Returns:
        A frame with ``COLUMNS``, sorted by architecture, size, model, training step, series, length and metric.

    Raises:
        UserError: if a path does not exist, or nothing usable is found.
    """
    rows: list[dict[str, Any]] = []
    foreign: list[str] = []
    unusable: list[str] = []
    for file in tqdm(find_result_files(paths), desc="reading results", unit="file", delay=2, disable=None):
        found, problems = read_rows(file)
        rows += found
        unusable += problems
        if not (found or problems):
            foreign.append(str(file))
    for problem in unusable:
        _log.warning("skipped %s", keep_printable(problem))
    if not rows:
        if unusable:
            raise UserError(f"no usable results found: {keep_printable(unusable[0])}; evaluate again")
        raise UserError(
            "no results of copy-eval's tasks found; name the folder that lm_eval was given as --output_path"
        )
    if foreign:
        _log.warning("no results of copy-eval's tasks, skipped: %s", _name_some(foreign))
    frame = (
        pd.DataFrame(rows).reindex(columns=list(COLUMNS)).assign(label=None, series=None, title=None).astype(COLUMNS)
    )
    frame = _leave_out_namesakes(frame)
    merged = add_series(add_labels(_complete(_merge(_share_weights(frame), pool))))
    order = ["architecture", "parameters", "model", "step", "revision", "label", "series", "length", "metric"]
    return merged.sort_values(order, ignore_index=True)


def _leave_out_namesakes(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out tasks that give themselves the title and length of another: they would pass for the same measurement.

    A task that includes another's YAML file includes its title.
    """
    key = ["task", "length"]
    names = frame[[*key, "task_name"]].drop_duplicates().sort_values([*key, "task_name"])
    # Of two, the one that is named like its title has it for certain.
    is_named = [name.startswith(task) for name, task in zip(names["task_name"], names["task"], strict=True)]
    names = names.assign(named=is_named).sort_values("named", ascending=False, kind="stable")
    taken = names.drop_duplicates(key)
    for row in names.drop(taken.index).itertuples():
        _log.warning(
            "skipped %s: it calls itself %s of length %d, as another task does; give it a title of its own",
            row.task_name, row.task, row.length,
        )  # fmt: skip
    return frame.merge(taken[[*key, "task_name"]], on=[*key, "task_name"])


def _share_weights(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the runs of a model that do not say their weights those that its other runs name."""
    known = frame[["model", "revision", "setup"]].drop_duplicates()
    for _, of_model in known.groupby(["model", "revision"]):
        shared = share_weights(map(json.loads, of_model["setup"]))
        known.loc[of_model.index, "shared"] = [as_json(setup) for setup in shared]
    completed = frame.merge(known, on=["model", "revision", "setup"])
    return completed.assign(setup=completed["shared"].astype("string"))[frame.columns]


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Give every row of a model what only some of its runs tell: not every backend logs architecture and parameters."""
    known = ["architecture", "parameters"]
    return frame.assign(**frame.groupby(["model", "revision"])[known].transform("first"))


_CELL = ["model", "revision", "setup", "task", "text", "length", "task_version"]
"""What one accuracy is about; the prompts may still differ by their seed."""

_RUN = ["file", "task_name"]


def _merge(results: pd.DataFrame, pool: bool) -> pd.DataFrame:
    """Return one row for each cell and metric.

    Of runs on the same prompts the one with most of them counts, of these the newest; of runs on different prompts too,
    or with ``pool`` all together.

    Args:
        results: rows of any number of runs, with ``COLUMNS``.
        pool: whether to put runs with different prompts together.
    """
    # The best comes last. A run counts as a whole: metrics that only another one has do not stand in for it.
    in_order = results.sort_values(["n", "date", "file"], kind="stable")
    runs = in_order.drop_duplicates(_RUN, keep="last")
    best = runs.drop_duplicates([*_CELL, "prompts_sha256"], keep="last")
    _name_newer_subsets(runs.drop(best.index), best)
    if pool:
        return _pool(in_order.merge(best[_RUN], on=_RUN))
    kept = best.drop_duplicates(_CELL, keep="last")
    left_out = best.drop(kept.index)
    if len(left_out):
        named = [f"{row.task_name} of {row.model!r} in {row.file}" for row in left_out.itertuples()]
        _log.warning(
            "left out %d evaluations on other prompts, older or of fewer prompts (--pool adds them up): %s",
            len(left_out), _name_some(named),
        )  # fmt: skip
    return in_order.merge(kept[_RUN], on=_RUN)


def _name_newer_subsets(left_out: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Say which newer runs do not count because they answered fewer of the same prompts."""
    key = [*_CELL, "prompts_sha256"]
    both = left_out.merge(kept[[*key, "date", "n"]], on=key, suffixes=("", "_kept"))
    newer = both[(both["n"] < both["n_kept"]) & (both["date"] > both["date_kept"])]
    for row in newer.itertuples():
        _log.warning(
            "%s of %r: an older run of %d prompts counts, not the newer one of %d in %s",
            row.task_name, row.model, row.n_kept, row.n, row.file,
        )  # fmt: skip


def _name_some(names: Sequence[str], most: int = 5) -> str:
    """List names in a line, "a, b and 7 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _pool(runs: pd.DataFrame) -> pd.DataFrame:
    """Make one run of those of each cell that answered different prompts."""
    per_cell = runs.groupby(_CELL, dropna=False)["file"].transform("nunique")
    pooled = [runs[per_cell == 1]]
    for _, of_cell in runs[per_cell > 1].groupby(_CELL, dropna=False, sort=False):
        pooled.append(_pool_cell(of_cell))
    return pd.concat(pooled, ignore_index=True).astype(runs.dtypes)


def _pool_cell(rows: pd.DataFrame) -> pd.DataFrame:
    """Pool the runs of one cell, each distinct prompt counted once.

    Only samples tell which prompts are the same. Without them, prompts that are drawn from a text, of which there may
    be few, are not pooled, nor are those of one seed, where fewer are the first of more; generated prompts of several
    seeds are all different, and are added up.
    """
    # Two models that were pooled over the same runs have their samples in the same order.
    runs = rows[rows["metric"] == rows["headline"]].sort_values("prompts_sha256")
    samples = read_runs(runs.itertuples())
    if samples is not None:
        return _pool_samples(rows, distinct(samples))
    if rows["text"].notna().any() or runs["data_seed"].isna().any() or runs["data_seed"].duplicated().any():
        kept = rows.iloc[-1]
        _log.warning(
            "%s of %r is not pooled: without samples (--log_samples) nothing tells which prompts are the same; "
            "%s counts",
            kept["task_name"], kept["model"], kept["file"],
        )  # fmt: skip
        return rows[rows["file"] == kept["file"]]
    weighted = rows.assign(weight=_weights(rows))
    return pd.DataFrame([_add_up(of_metric) for _, of_metric in weighted.groupby("metric", sort=False)])[rows.columns]


def _pool_samples(rows: pd.DataFrame, samples: list[Sample]) -> pd.DataFrame:
    """Average every metric over the samples, as lm-eval does: over those for which it has a value."""
    pooled = []
    for metric, of_metric in rows.groupby("metric", sort=False):
        scored = [(sample.scores.get(str(metric)), sample.cluster) for sample in samples]
        values = np.array([score for score, _ in scored if score is not None], float)
        clusters = [cluster for score, cluster in scored if score is not None]
        row = _combined(of_metric)
        row["n"] = len(samples)
        known = len(values) > 0 and not row["over_context"]
        row["value"] = values.mean() if known else pd.NA
        row["stderr"] = _standard_error(values, clusters) if known else pd.NA
        pooled.append(row)
    return pd.DataFrame(pooled)


def _standard_error(values: npt.NDArray[np.float64], clusters: Sequence[str | None]) -> Any:
    """Return that of a mean; missing for a single answer, or answers of a single cluster."""
    if None in clusters:
        return values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else pd.NA
    return clustered_variance(values, clusters) ** 0.5 if len(set(clusters)) > 1 else pd.NA


def _weights(rows: pd.DataFrame) -> pd.Series:
    """Return how many prompts each value is the mean of: all, but the shares of the wrong answers those alone."""
    is_accuracy = rows["metric"] == "exact_match"
    accuracy = rows["file"].map(dict(zip(rows.loc[is_accuracy, "file"], rows.loc[is_accuracy, "value"], strict=True)))
    wrong = (rows["n"] * (1 - accuracy.astype("Float64"))).round()
    return rows["n"].where(~rows["metric"].str.startswith("wrong_"), wrong).astype("Float64").mask(rows["value"].isna())


def _add_up(rows: pd.DataFrame) -> pd.Series:
    """Average a metric over independent runs; the variance is the sum of the squares of share x standard error."""
    row = _combined(rows)
    share = rows["weight"] / rows["weight"].sum()
    known = rows["value"].notna()
    row["value"] = pd.NA if row["over_context"] or not known.any() else (rows["value"] * share).sum()
    errors = rows.loc[known, "stderr"]
    row["stderr"] = pd.NA if errors.isna().any() or not known.any() else ((share * errors) ** 2).sum() ** 0.5
    row["n"] = rows["n"].sum()
    return row


def _combined(rows: pd.DataFrame) -> pd.Series:
    """Return what pooled rows of one metric have in common; files and fingerprints stand one a line."""
    runs = rows.sort_values("prompts_sha256")
    row = rows.sort_values("date", kind="stable").iloc[-1].copy()
    row["over_context"] = rows["over_context"].any()
    row["context_checked"] = rows["context_checked"].all()
    row["prompts_sha256"] = "pooled:" + hashlib.sha256("\n".join(runs["prompts_sha256"]).encode()).hexdigest()
    row["file"] = "\n".join(runs["file"])
    row["samples_sha256"] = "\n".join(runs["samples_sha256"].fillna(""))
    return row


CONTEXT_NOT_CHECKED = "context not checked"
"""Marks a model where nothing tells whether its backend cut prompts that do not fit the context, and scored them."""


def unchecked_labels(rows: pd.DataFrame) -> set[str]:
    """Return the labels of the models some of whose results may rest on prompts that were cut."""
    return set(rows.loc[~rows["context_checked"].fillna(False), "label"])


_PATH = re.compile(r"[./~]|[A-Za-z]:[\\/]|.*/.*/")
"""The beginning of a path; a hub id holds at most one slash."""


def add_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill the column ``label``: the model, ``@revision`` where that is not main, and what is special about its setup.

    Of a path only the last component is shown, if no other model in the frame has it; else the whole path. A model that
    was measured in several setups has what differs between them in brackets. So a label is for reading; whoever joins
    reports over time does so by ``model``, ``revision`` and ``setup``, which never change.
    """
    key = ["model", "revision", "setup"]
    models = frame[key].drop_duplicates().sort_values(key)
    shown = {model: _last_component(model) for model in models["model"].unique()}
    taken = pd.Series(shown).value_counts()
    labels: dict[tuple[str, ...], str] = {}
    for _, of_model in models.groupby(["model", "revision"]):
        model, revision = of_model[["model", "revision"]].iloc[0]
        name = shown[model] if taken[shown[model]] == 1 else model
        name = name if revision == "main" else f"{name}@{revision}"
        setups = list(of_model["setup"])
        for setup, difference in zip(setups, describe_differences(map(json.loads, setups)), strict=True):
            label = keep_printable(f"{name} ({difference})" if difference else name)
            # `m@step1` at main, and `m` at step1: as good as impossible, but two curves in one would be a wrong result.
            while label in labels.values():
                label += "'"
            labels[model, revision, setup] = label
    keys = frame[key].itertuples(index=False, name=None)
    return frame.assign(label=pd.array([labels[each] for each in keys], dtype="string"))


def _last_component(model: str) -> str:
    is_path = _PATH.match(model) is not None
    return re.split(r"[\\/]", model.rstrip("\\/"))[-1] or model if is_path else model


def shorten(labels: Iterable[str], width: int = 36) -> dict[str, str]:
    """Return a short name for each label: without its organisation, and without the middle of a long one.

    What would not stay unique is not shortened.
    """
    labels = list(labels)
    names = _while_unique(labels, lambda name: name.rsplit("/", 1)[-1])
    half = (width - 1) // 2
    names = _while_unique(names, lambda name: name if len(name) <= width else f"{name[:half]}…{name[-half:]}")
    return dict(zip(labels, names, strict=True))


def _while_unique(names: list[str], change: Callable[[str], str]) -> list[str]:
    changed = [change(name) for name in names]
    return [new if changed.count(new) == 1 else old for new, old in zip(changed, names, strict=True)]
