"""The command line: `annealtrain COMMAND ...`. Errors of the user end in one line and exit code 2."""

import shlex
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

import annealtrain
from annealtrain.commands import completion, streams
from annealtrain.commands.interrupts import Heard, as_ctrl_c, through_libraries
from annealtrain.commands.parser import (
    DATA_DIR,
    TRUST,
    WORDS,
    check_folder,
    epochs_of,
    named_run,
    of_unit,
    parser_of,
    run_folder,
)
from annealtrain.errors import InputError, exit_code, nearest
from annealtrain.runtime.address_space import require_address_space

USAGE = """\
annealtrain: train neural networks layer by layer with annealing instead of backpropagation

  annealtrain train [key=value ...]     train a network; --help lists models, solvers and all settings
  annealtrain resume RUN_FOLDER         go on with an interrupted run
  annealtrain eval RUN_FOLDER           score a finished run's weights again
  annealtrain estimate [key=value ...]  spins, couplers and memory of each layer, without training
  annealtrain quantize RUN bits=2       a network of n-bit weights, layer by layer, as codes with scales
  annealtrain export RUN --format ...   a layer's Hamiltonian or the network, for other tools
  annealtrain spectrum RUN              the energies of a unit's Hamiltonian, drawn: gap and degeneracy
  annealtrain bench solvers [key=value] one layer for every solver: energy, gap, seconds, memory
  annealtrain bench field               all solvers on Hamiltonians of real layers, at equal time
  annealtrain instances                 these Hamiltonians, what is known of them, and files for other tools
  annealtrain data                      the datasets at hand, and how to get the others
  annealtrain collect FOLDER            gather all runs under a folder into one table
  annealtrain plot RUN_FOLDER           draw a run: accuracy, loss, L, energies, layer by layer
  annealtrain report FOLDER             one HTML page of a run, or of all runs under a folder
  annealtrain figure NAME [key=value]   run and draw a figure of the paper, such as fig5b

Try:  annealtrain train model=lenet solver=sa
Every command takes --help; annealtrain --version tells the version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1 (failed), 2 (bad input), 130 (Ctrl-C), 143 (TERM), 129 (HUP)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    streams.prepare()
    command = arguments[0] if arguments else "--help"
    with as_ctrl_c() as heard:
        return _told(command, arguments, heard)


def _told(command: str, arguments: list[str], heard: Heard) -> int:
    try:
        require_address_space()
        try:
            with through_libraries():
                code = _run(command, arguments)
        except SystemExit as end:  # of --help, or of a user's own module
            code = exit_code(end)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
        return code
    except KeyboardInterrupt as interrupt:
        streams.complain(command, str(interrupt) or "interrupted")
        return heard.code
    except InputError as error:
        streams.complain(command, str(error))
        return error.code
    except BrokenPipeError:  # the reader of our output has gone, as head does
        streams.let_go()
        return 1
    except (OSError, MemoryError, RuntimeError) as error:
        if (said := streams.fault(error) if isinstance(error, OSError) else streams.memory_fault(error)) is None:
            raise
        streams.complain(command, said)
        return 2


def _run(command: str, arguments: list[str]) -> int:
    # Bash completion calls the program without the command word: it stands in the line to complete.
    if "query=bash" in arguments and (line := completion.typed()) is not None:
        return _train(arguments) if completion.is_for_settings(line) else completion.print_commands(line, COMMANDS)
    if command in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    if command == "--version":
        print(f"annealtrain {annealtrain.__version__}")
        return 0
    if command not in COMMANDS:
        streams.note(f"annealtrain: no command {command!r}{nearest(command, COMMANDS)}; see annealtrain --help")
        return 2
    streams.working_directory()  # told at once where it is gone
    return COMMANDS[command](arguments[1:])


def _train(arguments: list[str]) -> int:
    from annealtrain.commands.hydra_app import run_hydra

    return _run("--version", []) if "--version" in arguments else run_hydra(arguments)


def _resume(arguments: list[str]) -> int:
    words = "Go on with an interrupted run, from its saved configuration."
    parser = run_folder("resume", words, builds=True)
    parser.add_argument("overrides", nargs="*", metavar="epochs=N", help="more epochs for a run that is finished")
    given = parser.parse_intermixed_args(arguments)
    epochs = epochs_of(given.overrides)
    check_folder(given.folder)
    from annealtrain.commands.train import resume

    here = {"trusted": given.trust, "data_dir": given.data_dir, "device": given.device}
    resume(given.folder, shlex.join(["annealtrain", "resume", *arguments]), epochs=epochs, **here)
    return 0


def _eval(arguments: list[str]) -> int:
    words = "Score a finished run's weights again; exit code 1 if they differ from what was recorded."
    parser = run_folder("eval", words, builds=True)
    parser.add_argument("--exact", action="store_true", help="to the last bit, also where another machine rounds")
    given = parser.parse_args(arguments)
    check_folder(given.folder)
    from annealtrain.commands.evaluate import evaluate

    here = {"trusted": given.trust, "data_dir": given.data_dir, "device": given.device}
    return 0 if evaluate(given.folder, is_exact=given.exact, **here) else 1


def _estimate(arguments: list[str]) -> int:
    parser = parser_of("estimate", "Print what a run asks of memory, of time and of a QPU, layer by layer.")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=WORDS)
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with YAML of your own")
    words = "seconds for which steps are measured, default 10; 0: none"
    parser.add_argument("--probe", type=float, default=10, metavar="S", help=words)
    parser.add_argument("--queue", type=float, default=0, metavar="S", help="seconds that a solver's call waits")
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.estimate import estimate
    from annealtrain.experiment.settings_alone import compose_alone
    from annealtrain.runtime.validation import check_all, number

    check_all({"--probe": given.probe, "--queue": given.queue}, dict.fromkeys(("--probe", "--queue"), number(0)))
    streams.say(estimate(compose_alone(given.overrides, given.config_dir), given.probe, given.queue))
    return 0


def _export(arguments: list[str]) -> int:
    parser = of_unit("export", "Write a unit's Hamiltonian, or a trained network, in a file that other tools read.")
    parser.add_argument(
        "--format", required=True, help="bqm, coo, qubo or lp (Hamiltonian); torch, onnx or codes (network)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: in the run folder")
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.export import export

    where = {name: getattr(given, name) for name in ("layer", "unit", "output", "force", "data_dir")}
    where["trusted"] = given.trust
    with named_run(given.run) as folder:
        streams.say(export(folder, [] if folder else given.run, given.config_dir, given.format, **where))
    return 0


def _spectrum(arguments: list[str]) -> int:
    parser = of_unit("spectrum", "Draw the energies of a unit's Hamiltonian: density, degeneracy, eigenvalues of J.")
    parser.add_argument("--reads", type=int, default=1000, metavar="N", help="of units beyond 24 spins, default 1000")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: the run folder")
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.spectrum import write_spectrum

    where = {name: getattr(given, name) for name in ("layer", "unit", "output", "force", "data_dir", "reads")}
    where["trusted"] = given.trust
    with named_run(given.run) as folder:
        streams.say(write_spectrum(folder, [] if folder else given.run, given.config_dir, **where))
    return 0


def _quantize(arguments: list[str]) -> int:
    parser = parser_of("quantize", "Put a network's weights on a grid of few levels, layer after layer.")
    parser.add_argument("network", nargs="*", metavar="RUN | FILE.onnx", help="and settings, key=value")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: a new folder under outputs/quantize")
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with YAML of your own")
    parser.add_argument("--data-dir", **DATA_DIR)
    parser.add_argument("--trust", **TRUST)
    if {"-h", "--help"} & {*arguments}:
        from annealtrain.experiment.quantize_config import shipped_text

        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, shipped_text()
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.quantize import quantize

    named = [word for word in given.network if "=" not in word or Path(word).exists()]
    if not named and not any(word.startswith("model._target_=") for word in given.network):
        raise InputError("name a network: a run folder, an .onnx file, or model._target_=my_nets.Net state_dict=net.pt")
    if named and not Path(named[0]).exists():
        raise InputError(f"{named[0]} is neither a run folder nor an .onnx file: settings are written key=value")
    if len(named) > 1:
        raise InputError(f"{named[1]}: one network at a time, {named[0]} is given already")
    words, command = [word for word in given.network if word not in named], ["annealtrain", "quantize", *arguments]
    where = {name: getattr(given, name) for name in ("config_dir", "output", "data_dir")}
    quantize(Path(named[0]) if named else None, words, trusted=given.trust, command=shlex.join(command), **where)
    return 0


def _bench(arguments: list[str]) -> int:
    from annealtrain.commands.bench import bench

    return bench(arguments)


def _instances(arguments: list[str]) -> int:
    from annealtrain.commands.bench import instances

    return instances(arguments)


def _data(arguments: list[str]) -> int:
    parser = parser_of("data", "Show which datasets are at hand, where, and how to get the others.")
    parser.add_argument("--data-dir", metavar="DIR", help="default: $ANNEALTRAIN_DATA, else ~/.cache/annealtrain")
    parser.add_argument("--download", metavar="NAME", help="fetch a dataset with torchvision")
    given = parser.parse_args(arguments)
    from annealtrain.commands.data import data

    streams.say(data(given.data_dir, given.download))
    return 0


def _collect(arguments: list[str]) -> int:
    parser = parser_of("collect", "Gather the runs under a folder, finished or not, into one CSV with a row an epoch.")
    parser.add_argument("folder", type=Path, help="a folder with run folders at any depth")
    parser.add_argument("--format", default="csv", help="csv (a row an epoch), latex or markdown (a row a group)")
    parser.add_argument("--columns", metavar="A,B", help="of latex and markdown, such as 'model,test last'")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: FOLDER/runs.csv, runs.tex or runs.md")
    given = parser.parse_args(arguments)
    check_folder(given.folder, is_run=False)
    from annealtrain.commands.collect import collect

    columns = () if given.columns is None else [name.strip() for name in given.columns.split(",")]
    text, left_out = collect(given.folder, given.output, given.format, columns)
    streams.say(text)
    for line in left_out:
        streams.note(f"left out: {line}")
    return 0


def _plot(arguments: list[str]) -> int:
    parser = run_folder("plot", "Draw a run, finished or not, as run.png and run.pdf in its folder.")
    folder: Path = parser.parse_args(arguments).folder
    check_folder(folder)
    from annealtrain.commands.plot import plot

    streams.say(plot(folder))
    return 0


def _report(arguments: list[str]) -> int:
    parser = parser_of("report", "Write report.html, a page that needs nothing beside itself, for a run or a sweep.")
    parser.add_argument("folder", type=Path, help="a run folder, or one with run folders at any depth")
    folder: Path = parser.parse_args(arguments).folder
    check_folder(folder, is_run=False)
    from annealtrain.commands.report import report

    streams.say(report(folder))
    return 0


def _figure(arguments: list[str]) -> int:
    parser = parser_of(
        "figure", "Run what a figure of the paper needs (finished runs are kept), gather it and draw it."
    )
    parser.add_argument("name", help="fig1a to fig8, fig6a_2024 to fig6d_2024")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for annealtrain train")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="runs a method, default 10")
    parser.add_argument("--output", type=Path, default=Path("outputs"), metavar="DIR", help="default: outputs")
    given = parser.parse_intermixed_args(arguments)
    from annealtrain.commands.figure import figure

    return figure(given.name, given.overrides, given.seeds, given.output)


COMMANDS = {
    "train": _train,
    "resume": _resume,
    "eval": _eval,
    "estimate": _estimate,
    "data": _data,
    "collect": _collect,
    "plot": _plot,
    "report": _report,
    "figure": _figure,
    "export": _export,
    "spectrum": _spectrum,
    "quantize": _quantize,
    "bench": _bench,
    "instances": _instances,
}
