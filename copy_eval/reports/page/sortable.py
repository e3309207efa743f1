"""What the page's tables are made of; the template lays them out and the script sorts them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A column's header.

    Args:
        name: what it shows; it breaks at line breaks alone.
        is_text: words, set to the left and sorted from A to Z first; numbers are sorted from the greatest first.
        starts_group: the first column of a group of columns, or of those behind the last group.
    """

    name: str
    is_text: bool = False
    starts_group: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell.

    Args:
        text: what it shows.
        value: what it is sorted by; a cell with None stands last, however its column is sorted.
        note: a second line, smaller.
        bar: share of the cell that a bar behind the text fills.
    """

    text: str
    value: float | str | None
    note: str = ""
    bar: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row, whose first cell names it.

    Args:
        cells: one a column.
        model: the place of the model whose checkbox shows and hides the row; None where it always shows.
    """

    cells: list[Cell]
    model: int | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: what its cells are.
        columns: one a cell of the rows.
        rows: in the order in which they stand before anything is sorted.
        groups: names of groups of neighbouring columns with the number of columns in each, from the left; an empty
            name leaves columns without a group; no groups, no such row.
    """

    caption: str
    columns: list[Column]
    rows: list[Row]
    groups: list[tuple[str, int]] = field(default_factory=list)
