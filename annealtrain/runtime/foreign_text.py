"""Text of others, made harmless where it is shown: on a terminal, in a spreadsheet."""

import re

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)", re.ASCII)


def printable(text: str) -> str:
    """Return a text on one line: what steers a terminal, or turns its direction, as an escape such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cell(text: str) -> str:
    """Return a text that a spreadsheet takes for a text, not for a formula: after an apostrophe where it begins as one.

    Numbers stay as they are.
    """
    is_formula = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
