"""`annealtrain bench` and `annealtrain instances`, from their words to what they do."""

from pathlib import Path
from typing import Any

from annealtrain.commands import streams
from annealtrain.commands.parser import WORDS, parser_of

OUTPUT: dict[str, Any] = {"type": Path, "metavar": "DIR", "help": "default: a new folder under outputs/bench"}


def bench(arguments: list[str]) -> int:
    """Run `annealtrain bench solvers ...` or `annealtrain bench field ...`."""
    if arguments[:1] == ["field"]:
        return _field(arguments[1:])
    parser = parser_of("bench", "Give one real layer to every solver; print a table, write it and a plot to a folder.")
    parser.add_argument("what", choices=["solvers", "field"], help="or field: see bench field --help")
    words = f"layer=K, and {WORDS}"
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=words)
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="seeds, default 3")
    parser.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds for each solver, default 120")
    parser.add_argument("--output", **OUTPUT)
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with YAML of your own")
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.bench_solvers import bench_solvers

    bench_solvers(given.overrides, given.config_dir, given.repeats, given.timeout, given.output)
    return 0


def _field(arguments: list[str]) -> int:
    parser = parser_of("bench field", "Race solvers on Hamiltonians of real layers at equal time: tables and figures.")
    parser.add_argument("instances", nargs="*", metavar="INSTANCE", help="a name, or a file; default: all shipped")
    words = "with commas, such as annealtrain,sa,neal; default: all"
    parser.add_argument("--solvers", metavar="NAMES", help=words)
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each lap, default 1")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="laps of each solver and instance, default 3")
    words = "relative gap that counts as solved, default 0.001"
    parser.add_argument("--target", type=float, default=1e-3, metavar="GAP", help=words)
    parser.add_argument("--jobs", type=int, metavar="N", help="laps at once, default: the cores")
    parser.add_argument("--output", **OUTPUT)
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.field.bench import bench_field

    how = {name: getattr(given, name) for name in ("seconds", "seeds", "target", "jobs")}
    bench_field(given.solvers, given.instances, folder=given.output, **how)
    return 0


def instances(arguments: list[str]) -> int:
    """Run `annealtrain instances ...`."""
    parser = parser_of("instances", "List the Hamiltonians of real layers that solvers are compared on, or write them.")
    parser.add_argument("names", nargs="*", metavar="INSTANCE", help="those to list or write; default: all")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write them there; without: list them")
    words = "npz (read by annealtrain.instances.load), or bqm, coo, qubo, lp; default npz"
    parser.add_argument("--format", help=words)
    parser.add_argument("--data-dir", metavar="DIR", help="default: $ANNEALTRAIN_DATA, else ~/.cache/annealtrain")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.instances import OWN, listed, write_instances
    from annealtrain.errors import InputError

    if given.output is None:
        if given.format or given.force:
            raise InputError("--output is missing: a folder for the files")
        print(listed(given.names))
        return 0
    written = write_instances(given.names, given.format or OWN, given.output, given.data_dir, force=given.force)
    streams.say(*written)
    return 0
