"""python -m annealtrain."""

import os
import sys

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# `-m` looks for modules in the working directory before all else: a json.py there would stand in for Python's own.
# It goes, or comes last where this package itself lies in it.
if not sys.flags.safe_path:
    first = sys.path.pop(0)
    if os.path.abspath(first) == HERE:
        sys.path.append(first)

from annealtrain.cli import main  # noqa: E402 (with the path as it is to be)

code = main()
# CPython notes a Ctrl-C (or TERM, HUP) that came inside an `exec` of text, as the imports of many libraries have, and
# with -m ends by SIGINT for it in spite of all handlers. The next such `exec` clears the note.
exec("")
sys.exit(code)
