"""The speed claims of this project, as measured in one run."""

from dataclasses import dataclass
from typing import Any

from bench.jobs import LONG_SWEEPS
from bench.report import number
from bench.rows import Row

NEAL, INTEGER = "dwave SA (neal)", "openjij integer SA"


@dataclass(frozen=True)
class Claim:
    """measured is None where a row that it needs is missing; `at_most` turns the comparison round.

    holds: what must be so beside it, as None where it is not measured either.
    """

    claim: str
    target: float
    measured: float | None
    unit: str = "x"
    at_most: bool = False
    note: str = ""
    holds: bool | None = True

    @property
    def verdict(self) -> str:
        if self.measured is None or self.holds is None:
            return "not measured"
        is_met = self.measured <= self.target if self.at_most else self.measured >= self.target
        return "met" if is_met and self.holds else "not met"


def claims(rows: list[Row], roof: dict[str, float] | None, problem: str) -> list[Claim]:
    """Return every claim about `problem`, the 8-bit linear layer."""

    def row(sampler: str, settings: str, sweeps: int = 100, reads: int = 1) -> Row:
        wanted = (problem, sampler, settings, sweeps, reads, "ok")
        keys = ("problem", "sampler", "settings", "sweeps", "reads", "status")
        return next((row for row in rows if tuple(row[key] for key in keys) == wanted), {})

    neal, bit, chain = row(NEAL, ""), row("annealtrain", "bit"), row("annealtrain", "slice")
    units = next((r["units"] for r in rows if r["problem"] == problem and r["units"] > 1), 0)
    several = [row("annealtrain", f"bit, {units} outputs", sweeps) for sweeps in (100, 1000)]
    cores, api = row(INTEGER, "core", reads=16), row(INTEGER, "Python API")
    alone = _divided(row(INTEGER, "core").get("solve_s"), chain.get("solve_s"))
    ours_sweep_s = _divided(_sweep_s(*several), units)
    gap, neal_gap = bit.get("gap"), neal.get("gap")
    is_as_good = None if gap is None or neal_gap is None else gap <= neal_gap
    return [
        Claim(
            "neal solve / ours, one output, 100 sweeps, bit moves, equal or better gap",
            300,
            neal.get("ratio"),
            note=f"gap {_short(gap)} (neal {_short(neal_gap)})",
            holds=is_as_good,
        ),
        Claim(
            f"neal marginal sweep / ours per output, in a {units}-output call",
            800,
            _divided(_sweep_s(neal, row(NEAL, "", LONG_SWEEPS)), ours_sweep_s),
            note=f"ours {_short(ours_sweep_s)} s",
        ),
        Claim(
            "OpenJij integer SA core / ours, slice moves, per full lane",
            7,
            cores.get("ratio"),
            note=f"one chain each: {_short(alone)}x",
        ),
        Claim("OpenJij integer SA through its API, with building / ours", 30, api.get("total_ratio")),
        Claim(
            "memory: neal / ours",
            200,
            _divided(neal.get("memory_mb"), bit.get("memory_mb")),
            note=f"{_short(neal.get('memory_mb'))} MB, ours {_short(bit.get('memory_mb'))} MB",
        ),
        Claim(
            "share of the roofline (the whole product), full lanes, slice moves",
            0.6,
            (roof or {}).get("share"),
            "",
            note=f"of the product of what changed: {_short((roof or {}).get('changed_share'))}",
        ),
        Claim("gap of slice moves, 100 sweeps, automatic betas", 1e-6, chain.get("gap"), "", at_most=True),
    ]


def _sweep_s(short: Row, long: Row) -> float | None:
    """Return the seconds of one more sweep from two runs of different lengths."""
    if not short or not long:
        return None
    return (long["solve_s"] - short["solve_s"]) / (long["sweeps"] - short["sweeps"])


def _divided(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _short(value: Any) -> str:
    return "-" if value is None else number(float(f"{value:.2g}"))
