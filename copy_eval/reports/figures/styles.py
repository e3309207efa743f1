"""How a model looks wherever it is drawn: colour and marker by architecture, shade and dashes by size."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.colors import to_hex, to_rgb

from copy_eval.reports.frames.architectures import HYBRID, STATE_SPACE, TRANSFORMER

_LOOKS = {
    # Okabe and Ito's colours: distinct for colour-blind readers. The markers tell them apart in grey print.
    TRANSFORMER: ("#0072B2", "o"),
    STATE_SPACE: ("#D55E00", "s"),
    HYBRID: ("#009E73", "^"),
}
_UNKNOWN = ("#666666", "D")

_DASHES: tuple[tuple[int, ...], ...] = ((), (5, 2), (1, 2), (6, 2, 1, 2))


@dataclass(frozen=True)
class Style:
    """The look of a model's lines: ``#rrggbb``, matplotlib's marker, and lengths of dashes and gaps (none: solid)."""

    colour: str
    marker: str
    dashes: tuple[int, ...]


def model_styles(accuracy: pd.DataFrame) -> dict[str, Style]:
    """Return a style for each label, in the order of the frame.

    Within an architecture the shade grows darker with size, and later training steps are darker than earlier ones. The
    dashes change from each model to the next, the largest having solid lines.

    Args:
        accuracy: rows with ``label`` and ``architecture``, sorted as ``read_results`` sorts them.
    """
    models = accuracy.drop_duplicates("label").set_index("label")["architecture"].fillna("")
    styles = {}
    for label, architecture in models.items():
        peers = list(models.index[models == architecture])
        base, marker = _LOOKS.get(architecture, _UNKNOWN)
        from_largest = len(peers) - 1 - peers.index(label)
        styles[str(label)] = Style(_shade(base, from_largest, len(peers)), marker, _DASHES[from_largest % len(_DASHES)])
    return styles


def _shade(base: str, from_largest: int, count: int) -> str:
    """Mix in white, up to half of it for the smallest model, and a little black for the largest of several."""
    if count == 1:
        return base
    lightness = from_largest / (count - 1)
    return to_hex([channel * (0.75 - 0.2 * lightness) + 0.45 * lightness for channel in to_rgb(base)])  # type: ignore[arg-type]
