"""The CSV and Markdown files of a benchmark run."""

import csv
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.rows import Row

if TYPE_CHECKING:
    from bench.targets import Claim

SHOWN = {
    "sampler": "sampler",
    "settings": "settings",
    "sweeps": "sweeps",
    "reads": "reads",
    "build_s": "build s",
    "solve_s": "solve s",
    "gap": "gap",
    "memory_mb": "memory MB",
    "ratio": "time / ours",
    "status": "status",
}


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write rows, None as an empty field."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def kernel_report(
    rows: Sequence[Row],
    targets: "Sequence[Claim]",
    reach: Sequence[Row],
    roof: dict[str, float] | None,
    told: str,
    seconds: float,
) -> str:
    """Return kernel.md."""
    parts = [
        "# The annealing kernel and its peers\n",
        f"`make bench`, {seconds / 60:.0f} minutes. {told}. {machine()}. One thread each, every sampler in a process "
        "of its own; times are the fastest of several runs in turn with ours. Samplers have our range of inverse "
        "temperatures unless `default betas` stands there. gap = (E - E_box) / (E(S0) - E_box), E_box a certified "
        "bound of the continuous box; for SK (E - best) / |best|. time / ours: per read and output, against `bit`, "
        "one chain (OpenJij's integers with 16 reads: against `slice`, 16 reads). memory: beyond the problem itself.\n",
        "## Targets\n",
        markdown(
            ["claim", "target", "measured", "verdict", "note"],
            [
                [c.claim, bound(c), number(c.measured) + c.unit * (c.measured is not None), c.verdict, c.note]
                for c in targets
            ],
        ),
        "## Roofline\n",
        roof_text(roof) + "\n",
        "## Time to target\n",
        "Seconds until a run of the best length has reached the gap with 99 % probability, building not counted.\n",
        _reach_table(reach),
    ]
    for problem in dict.fromkeys(row["problem"] for row in rows):
        own = [row for row in rows if row["problem"] == problem]
        parts += [
            f"## {problem}: {own[0]['spins']} spins, {own[0]['live_spins']} of them live\n",
            markdown(list(SHOWN.values()), [[number(row[name]) for name in SHOWN] for row in own]),
        ]
    return "\n".join(parts)


def _reach_table(reach: Sequence[Row]) -> str:
    targets = list(dict.fromkeys(row["target"] for row in reach))
    lines = {}
    for row in reach:
        cell = row["status"] if row["seconds"] is None else f"{row['seconds']:.3g} s ({row['sweeps']} sweeps)"
        lines.setdefault((row["problem"], row["sampler"], row["settings"]), []).append(cell)
    return markdown(
        ["problem", "sampler", "settings", *(f"gap {target:g}" for target in targets)],
        [[*key, *cells] for key, cells in lines.items()],
    )


def roof_text(roof: dict[str, float] | None) -> str:
    """Return the roofline in words."""
    if not roof:
        return "Not measured."
    return (
        f"A slice sweep of {roof['lanes']:.0f} lanes over {roof['live_weights']:.0f} live weights takes "
        f"{roof['slice_sweep_s'] * 1e6:.0f} us. Its whole matrix product takes {roof['gemm_s'] * 1e6:.0f} us at BLAS's "
        f"best on this core ({roof['thin_gflops']:.0f} GFLOP/s at this shape, {roof['square_gflops']:.0f} for a large "
        f"square): a share of {roof['share']:.0%}. A sweep changes {roof['changed']:.0%} of the weights, and only "
        f"their part of the product is done: a share of {roof['changed_share']:.0%}."
    )


def bound(claim: "Claim") -> str:
    return f"at {'most' if claim.at_most else 'least'} {claim.target:g}{claim.unit}"


def number(value: Any) -> str:
    """Return a table's cell."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def machine() -> str:
    """Return the processor and system in a few words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        name = f"{models[0]}, {len(models)} cores" if models else name
    return f"{name}, {platform.system()}, Python {platform.python_version()}"
