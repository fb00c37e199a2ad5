"""A table for a paper or a page: LaTeX of booktabs, aligned Markdown."""

import re
from collections.abc import Callable, Sequence

from annealtrain.errors import InputError, nearest
from annealtrain.runtime.foreign_text import NUMBER, printable

Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # the head, and rows of as many cells
SPREAD = " +- "
SPREAD_IS = "standard deviation (n - 1) over the runs of a group, which differ in their seed alone"
ESCAPED = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
}
MARKS = {"\\": "\\\\", "|": "\\|", "`": "\\`", "*": "\\*", "<": "&lt;", "&": "&amp;"}
# What is no sign alone: underscores that are not inside a word, the end of a link's text, tildes around a text.
OTHER_MARKS = re.compile(r"(?<![^\W_])_|_(?![^\W_])|\](?=[\[(])|~(?=.*~)|(?<=~)~")


def chosen(table: Table, columns: Sequence[str]) -> Table:
    """Return these columns of a table, by their heads, in this order; all where none are named."""
    head, rows = table
    if not columns:
        return table
    for k, name in enumerate(columns):
        if not name:
            raise InputError(f"--columns: a name is missing beside a comma, or all are: {', '.join(head)}")
        if name in columns[:k]:
            raise InputError(f"--columns has {name!r} twice: leave one out")
        if name not in head:
            raise InputError(f"--columns: there is no column {name!r}{nearest(name, head)}: {', '.join(head)}")
    places = [list(head).index(name) for name in columns]
    return [head[place] for place in places], [[row[place] for place in places] for row in rows]


def latex(table: Table) -> str:
    """Return a table as a tabular of the package booktabs, its text escaped."""
    head, *rows = _cells(table, _latex_cell)
    sides = "".join("r" if is_numeric else "l" for is_numeric in _numeric(table))
    lines = [" & ".join(line).rstrip() + r" \\" for line in (head, *rows)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            *([rf"% \pm: {SPREAD_IS}"] if has_spread(table) else []),
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def markdown(table: Table) -> str:
    """Return a table as Markdown, its columns aligned in the text too."""
    head, *rows = _cells(table, _markdown_cell)
    rule = [
        "-" * (len(cell) - is_numeric) + ":" * is_numeric
        for cell, is_numeric in zip(head, _numeric(table), strict=True)
    ]
    note = f"\n+-: {SPREAD_IS}.\n" if has_spread(table) else ""
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *rows)) + note


def has_spread(table: Table) -> bool:
    """Return whether a table has a mean with its deviation, which a reader must be told of."""
    return any(SPREAD in cell for row in table[1] for cell in row)


def _latex_cell(text: str) -> str:
    middle, is_spread, deviation = text.partition(SPREAD)
    if is_spread and NUMBER.fullmatch(middle) and NUMBER.fullmatch(deviation):  # else a setting's text
        return rf"${middle} \pm {deviation}$"
    found = "".join(ESCAPED.get(character, character) for character in printable(text))
    found = re.sub("-(?=-)", "-{}", found)  # two would be one dash
    # What a row begins with must not be an argument of the command that ends the row before it.
    return f"{{{found[0]}}}{found[1:]}" if found.startswith(("[", "*")) else found


def _markdown_cell(text: str) -> str:
    text = OTHER_MARKS.sub(lambda found: "\0" + found[0], printable(text))
    escaped = "".join(MARKS.get(character, character) for character in text)
    return escaped.replace("\0~", "&#126;").replace("\0", "\\")


def _cells(table: Table, written: Callable[[str], str]) -> list[list[str]]:
    """Return head and rows as they are written, each cell as wide as its column, numbers to the right."""
    lines = [[written(text) for text in row] for row in (table[0], *table[1])]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    sides = [str.rjust if is_numeric else str.ljust for is_numeric in _numeric(table)]
    return [[side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)] for line in lines]


def _numeric(table: Table) -> list[bool]:
    """Return which columns hold numbers, or means of them, alone."""
    return [all(_is_number(cell) for cell in column) for column in zip(*table[1], strict=True)]


def _is_number(text: str) -> bool:
    try:
        float(text.partition(SPREAD)[0] or 0)
    except ValueError:
        return False
    return True
