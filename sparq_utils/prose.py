"""Numbers for sentences and tables: what a cell computed, never typed twice."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

Cell = str | int
_NUMBER = re.compile(r"[-+\N{MINUS SIGN}≤≥<>≈±]?\s?\d")
_WORD = re.compile(r"[^\W\d_]{3,}")
_GROUPS = count()


def say(**values: Cell) -> None:
    """Give numbers to the prose: `say(accuracy=f"{100 * a:.2f} %")`.

    On the built page a sentence takes it with the role `glue:text` and the cell shows nothing; in
    JupyterLab the cell shows `accuracy: 98.20 %`. Outside IPython nothing happens. Integers get
    thousands separators; a float is refused (`TypeError`), its digits being the caller's to choose.
    """
    said = {name: _text(name, value) for name, value in values.items()}
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is None:
        return
    prefix = "application/papermill.record/"  # MyST-NB files such output away under its name
    for name, text in said.items():
        bundle = {prefix + "text/plain": repr(text), "text/plain": f"{name}: {text}"}
        display(bundle, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": prefix}})


def _text(name: str, value: object, form: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if form and np.ndim(value) == 0:
        return format(float(value), form)
    raise TypeError(f"{name} is a {type(value).__name__}: format it, as in f'{{{name}:.2f}}'")


class Shown(str):
    """HTML that a notebook shows as the value of its cell."""

    def _repr_html_(self) -> str:
        return str(self)


def table(
    rows: "Sequence[Mapping[str, Cell]] | Mapping[str, object] | DataFrame",
    caption: str = "",
    *,
    head: str = "",
    columns: Sequence[str] = (),
    form: str = "",
) -> Shown:
    """Rows as a table under its caption: text to the left, columns of numbers to the right.

    A row maps the name of a column to text or a number; `None`, or a column that a row lacks,
    leaves a cell empty. Floats take the format `form`, such as ".1f"; without one they are refused
    (`TypeError`), as in :func:`say`. `**text**` is bold. The first column heads its row.

    `rows` may also map what stands in the first column, which is called `head`, to the rest of the
    row: a mapping again, or as many values as there are `columns`; or it is a pandas frame, whose
    (innermost) index heads the rows. On a narrow screen each row becomes a block of lines, so that
    no column is cut.
    """
    listed = _listed(rows, head, columns)
    columns = list(dict.fromkeys(name for row in listed for name in row))
    cells = [{name: _text(name, row.get(name), form) for name in columns} for row in listed]
    numeric = {name for name in columns[1:] if _holds_numbers([row[name] for row in cells])}

    def cell(name: str, text: str) -> str:
        tag = 'th scope="row"' if name == columns[0] else "td"
        kind = ' class="number"' if name in numeric else ""
        bold = re.fullmatch(r"\*\*(.+)\*\*", text)
        inner = f"<strong>{escape(bold[1])}</strong>" if bold else escape(text)
        return f'<{tag}{kind} data-label="{escape(name)}">{inner}</{tag[:2]}>'

    head = "".join(
        f'<th scope="col"{" class=number" if name in numeric else ""}>{escape(name)}</th>'
        for name in columns
    )
    body = "".join(f"<tr>{''.join(cell(n, t) for n, t in row.items())}</tr>" for row in cells)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Shown(
        f'<table class="sparq-table">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _listed(rows: object, head: str, columns: Sequence[str]) -> list[Mapping[str, object]]:
    """Rows of any kind that :func:`table` takes, as mappings whose first column heads them."""
    if hasattr(rows, "iterrows"):
        named = head or str(rows.index.names[-1])
        shown = rows.replace("\N{EN DASH}", "")  # a cell with nothing to show
        inner = ((index[-1] if isinstance(index, tuple) else index, row)
                 for index, row in shown.iterrows())  # fmt: skip
        return [{named: name} | dict(row) for name, row in inner]
    if not isinstance(rows, Mapping):
        return list(rows)
    return [
        {head: name} | (row if isinstance(row, Mapping) else dict(zip(columns, row, strict=True)))
        for name, row in rows.items()
    ]


def tabs(panels: Mapping[str, str], label: str) -> Shown:
    """Tables (or other HTML) behind tabs, the first in front; arrow keys move between them.

    `panels` maps a tab's name to its HTML; `label` names the group to a screen reader. Where the
    book's style sheet is missing, all stand one below another.
    """
    group = f"sparq-tabs-{next(_GROUPS)}"
    parts = [
        f'<input type="radio" id="{group}-{i}" name="{group}"{" checked" if not i else ""}>'
        f'<label class="sd-tab-label" for="{group}-{i}">{escape(name)}</label>'
        f'<div class="sd-tab-content">{inner}</div>'
        for i, (name, inner) in enumerate(panels.items())
    ]
    return Shown(
        f'<div class="sd-tab-set sparq-tabs" role="group" aria-label="{escape(label)}">'
        f"{''.join(parts)}</div>"
    )


def tables(frame: "DataFrame", caption: str, label: str) -> Shown:
    """A :func:`table` for each outer name of a frame's index, behind :func:`tabs`, the last first.

    A name, up to its first comma, is its tab's; all of it stands before the `caption`.
    """
    parts = reversed([*frame.groupby(level=0, sort=False)])
    panels = {name.partition(",")[0]: table(part, f"{name}: {caption}") for name, part in parts}
    return tabs(panels, label)


def filtered(rows: Sequence[Mapping[str, Cell]], by: str, caption: str = "") -> Shown:
    """A :func:`table` that shows all rows or those with one text in column `by`.

    The texts stand beside the table as a choice, with how many rows have each; it works by
    keyboard and without a script, for at most eight texts (`ValueError` for more).
    """
    texts = list(dict.fromkeys(str(row[by]) for row in rows))
    if len(texts) > 8:
        raise ValueError(f"{by} has {len(texts)} texts, more than the 8 that can be chosen from")
    group = f"sparq-filter-{next(_GROUPS)}"
    kept = [f"all ({len(rows)})"]
    kept += [f"{text} ({sum(str(row[by]) == text for row in rows)})" for text in texts]
    choices = "".join(
        f'<label><input type="radio" name="{group}" data-group="{i}"'
        f"{'' if i else ' checked'}> {escape(text)}</label>"
        for i, text in enumerate(kept)
    )
    head, *lines = table(rows, caption).split("<tr>")[1:]
    groups = (texts.index(str(row[by])) + 1 for row in rows)
    marked = "".join(f'<tr data-group="{g}">{line}' for g, line in zip(groups, lines, strict=True))
    opening = table(rows, caption).split("<tr>")[0]
    return Shown(
        f'<div class="sparq-filter"><fieldset><legend>{escape(by)}</legend>{choices}</fieldset>'
        f"{opening}<tr>{head}{marked}</div>"
    )


def percent(fraction: float, digits: int = 0) -> str:
    """A fraction in percent: 0.954 is `95 %`."""
    return f"{100 * float(fraction):.{digits}f}\N{NO-BREAK SPACE}%"


def listed(parts: Iterable[str]) -> str:
    """Parts of a sentence: `a, b and c`; `none` if there are none."""
    *most, last = [*parts] or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def engineering(value: float, unit: str = "", digits: int = 3) -> str:
    """A number with a prefix and `digits` significant digits: 0.0000128 J is `12.8 µJ`."""
    if not value:
        return f"0\N{NO-BREAK SPACE}{unit}".rstrip("\N{NO-BREAK SPACE}")
    prefixes = ["p", "n", "\N{MICRO SIGN}", "m", "", "k", "M", "G", "T"]
    rounded = float(f"{value:.{digits - 1}e}")
    power = int(np.clip(np.floor(np.log10(abs(rounded)) / 3), -4, 4))
    scaled = rounded / 1000.0**power
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(scaled)))))
    spaced = f"{scaled:,.{decimals}f}\N{NO-BREAK SPACE}{prefixes[power + 4]}{unit}"
    return spaced.rstrip("\N{NO-BREAK SPACE}")


def _holds_numbers(texts: Sequence[str]) -> bool:
    """Whether each cell that says something begins like a number and is no sentence."""
    said = [text.strip("* ") for text in texts if text.strip("* -\N{EN DASH}")]
    return bool(said) and all(_NUMBER.match(t) and len(_WORD.findall(t)) < 2 for t in said)
