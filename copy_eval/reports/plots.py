"""Accuracy against length, a line and a confidence band for each model."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

# Okabe and Ito's colours: distinct for colour-blind readers and in grey print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def plot_accuracy(accuracy: pd.DataFrame, title: str, length_label: str) -> Figure:
    """Draw accuracy against length, with the 95 % Wilson interval as a band.

    The axis is logarithmic unless a bucket begins at 0.

    A length that a model's context does not hold has no point.

    Args:
        accuracy: rows of one task, as ``statistics.accuracy_by_length`` returns them.
        title: of the task.
        length_label: what the length counts, with its unit.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for place, (model, rows) in enumerate(accuracy.groupby("model")):
        colour = _COLOURS[place % len(_COLOURS)]
        points = rows.dropna(subset="accuracy").astype(
            {"length": float, "accuracy": float, "low": float, "high": float}
        )
        axes.plot(points["length"], points["accuracy"], color=colour, marker="o", label=model)
        axes.fill_between(points["length"], points["low"], points["high"], color=colour, alpha=0.2, linewidth=0)
    lengths = sorted(accuracy["length"].unique())
    if lengths[0] > 0:
        axes.set_xscale("log")
    axes.set_xticks(lengths, labels=map(str, lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_xlabel(length_label)
    axes.set_ylabel("exact match")
    axes.set_title(f"{title}: {_describe_sample(accuracy)}", loc="left", fontsize="medium")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _describe_sample(accuracy: pd.DataFrame) -> str:
    fewest, most = accuracy["n"].min(), accuracy["n"].max()
    prompts = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return f"{prompts} prompts a length, band: 95 % interval"
