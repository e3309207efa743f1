"""How accurate a model can be at most whose memory holds so many bits: counting states, whatever was learned.

The memory is what the model carries from the prompt to the question: the state of a recurrent model, the cache of a
Transformer. What a task asks to be kept in it stands in the task's description (``material_bits``, ``asked_bits``).
Both bounds hold for the average over all prompts that the task could draw, and both are loose: they count every bit of
the memory as usable, whereas a trained model stores far less.
"""

import math

import numpy as np
import pandas as pd

_STEPS = 60
"""Bisections, which leave less of the interval from 0 to 1 than a float resolves."""


BOUND_NOTE = (
    "the most that the bits of a model's memory allow. It is loose: it counts every bit as usable, and trained models "
    "fail long before"
)
"""Stands beside every bound."""


def copying_accuracy_bound(memory_bits: float, material_bits: float) -> float:
    """Return the highest exact match where the whole material is asked for, as in copying.

    Theorem 2.7 of Jelassi et al. 2024 (arXiv 2402.01032): a model with a state space S errs on more than
    1 - |S| / D^L of the uniform strings of L letters out of D, because each state leads to one answer. So with fewer
    than L log2 D - 1 bits it errs on half of them at least, which is their corollary 2.8.

    Args:
        memory_bits: log2 |S|.
        material_bits: L log2 D.
    """
    return 2.0 ** min(0.0, memory_bits - material_bits)


def lookup_accuracy_bound(memory_bits: float, material_bits: float, asked_bits: float) -> float:
    """Return the highest exact match where one of many equal parts of the material is asked for, as in a phonebook.

    Theorem 2.7 does not hold there: who keeps half of a book answers half of the questions. A memory of m bits tells at
    most m bits of all parts together, which is m times ``asked_bits / material_bits`` of a part on average, and by
    Fano's inequality an answer that is right with probability a tells at least ``asked_bits - h(a) - (1 - a)
    log2(2^asked_bits - 1)``, where h is the binary entropy (Cover and Thomas 2006, theorem 2.10.1).

    Args:
        memory_bits: of the model.
        material_bits: of all parts, which are independent and uniform.
        asked_bits: of one part.
    """
    known = memory_bits * asked_bits / material_bits
    low, high = 2.0**-asked_bits, 1.0  # guessing, which needs no memory; from there on more accuracy needs more
    if known >= asked_bits:
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _fano(middle, asked_bits) <= known else (low, middle)
    return low


def _fano(accuracy: float, bits: float) -> float:
    """Return the bits that an answer tells at least which is right with this probability, between 0 and 1."""
    error = 1 - accuracy
    entropy = -accuracy * math.log2(accuracy) - (error * math.log2(error) if error else 0.0)
    # log2(2^bits - 1), which no power of a long string overflows.
    others = bits + math.log1p(-(2.0**-bits)) / math.log(2)
    return bits - entropy - error * others


def accuracy_bound(memory_bits: float, material_bits: float, asked_bits: float | None) -> float:
    """Return the highest exact match: that of a lookup where a part is asked for, that of copying where all is.

    Args:
        memory_bits: of the model.
        material_bits: of what it was shown, above 0.
        asked_bits: of what is asked for; None for all.
    """
    if asked_bits is None or asked_bits >= material_bits:
        return copying_accuracy_bound(memory_bits, material_bits)
    return lookup_accuracy_bound(memory_bits, material_bits, asked_bits)


_ABOUT = [
    "label", "model", "revision", "setup", "architecture", "parameters", "step", "task", "series", "title",
    "task_name", "length", "length_name", "unit", "metric", "over_context", "n", "accuracy", "low", "high",
]  # fmt: skip


def memory_by_length(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what each model remembers with, beside what each task asks it to remember.

    Args:
        accuracy: as ``accuracy.accuracy_by_length`` returns it; rows without ``memory_bytes`` are left out.

    Returns:
        ``label``, ``model``, ``revision``, ``setup``, ``architecture``, ``parameters``, ``step``, ``task``, ``series``,
        ``title``, ``task_name``, ``length``, ``length_name``, ``unit``, ``metric``, ``over_context``, ``n``,
        ``accuracy``, ``low``, ``high``, ``seeds`` (where they were averaged), ``memory_bytes``, ``memory_bits``,
        ``material_bits``, ``asked_bits`` (that of the material, where all of it is asked for), and ``bound``, the
        highest accuracy that this memory allows. The last three are missing where the task does not say how much its
        material holds.
    """
    known = accuracy.dropna(subset="memory_bytes")
    rows = known.filter(items=[*_ABOUT, "seeds", "memory_bytes"]).assign(memory_bits=8 * known["memory_bytes"])
    material = known["material_bits"].mask(known["material_bits"] <= 0)
    rows["material_bits"], rows["asked_bits"] = material, known["asked_bits"].fillna(material).mask(material.isna())
    bounds = [
        pd.NA if pd.isna(needed) else accuracy_bound(memory, needed, asked)
        for memory, needed, asked in rows[["memory_bits", "material_bits", "asked_bits"]].itertuples(index=False)
    ]
    return rows.assign(bound=pd.array(bounds, dtype="Float64"))


_PLACES = 200


def bound_curves(accuracy: pd.DataFrame, linear: bool) -> pd.DataFrame:
    """Return the bounds of the models of one series between the shortest and the longest length, where they say much.

    Between tested lengths the material and a model's memory grow evenly. A bound says something where it is below 1;
    a model for which it never is has no curve.

    Args:
        accuracy: rows of one series, as ``accuracy.accuracy_by_length`` returns them.
        linear: whether the places are even on a linear axis, else on that of log2.

    Returns:
        ``label``, ``length`` (not whole) and ``bound``.
    """
    curves = []
    for label, rows in memory_by_length(accuracy).dropna(subset="bound").groupby("label", sort=False):
        columns = ["length", "memory_bits", "material_bits", "asked_bits"]
        lengths, *amounts = rows[columns].astype(float).sort_values("length").to_numpy().T
        spread = np.linspace if linear else np.geomspace
        places = np.unique(np.append(spread(lengths[0], lengths[-1], _PLACES), lengths))
        between = zip(*(np.interp(places, lengths, amount) for amount in amounts), strict=True)
        bounds = [accuracy_bound(*bits) for bits in between]
        if min(bounds) < 1:
            curves.append(pd.DataFrame({"label": label, "length": places, "bound": bounds}))
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=["label", "length", "bound"])
