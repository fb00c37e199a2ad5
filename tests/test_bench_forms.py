"""The benchmark of the two forms of an activated layer's solve."""

import numpy as np
import pytest

pytest.importorskip("openjij", reason="openjij is not installed: pip install 'annealtrain[bench]'")

from bench import forms, jobs, rows
from bench.problems import sherrington_kirkpatrick

from annealtrain.hamiltonian.layer_problem import LayerProblem


def layer(M: int = 6, N: int = 12, R: int = 40) -> LayerProblem:
    random = np.random.default_rng(0)
    inputs, S0 = random.normal(size=(R, N)).astype(np.float32), random.normal(size=(M, N))
    factors = np.where(inputs @ S0.T >= 0, 1.0, 0.1)
    return LayerProblem.from_rows(inputs, random.normal(size=(R, M)), S0, 0.3, 4, factors=factors)


def test_both_forms_are_timed_and_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "SWEEPS", 3)
    problem = layer()
    formed, by_rows = forms.solve(problem, by_rows=False), forms.solve(problem, by_rows=True)
    np.testing.assert_array_equal(formed.levels, by_rows.levels)
    assert not np.array_equal(formed.energies, by_rows.energies)  # rounded another way: it was another form
    row = forms.compare("layer", problem)
    assert (row["units"], row["weights"], row["rows"]) == (6, 12, 40)
    assert min(row[name] for name in ("formed_s", "rows_s", "formed_mb", "rows_mb")) > 0
    assert "| layer | 6 | 12 | 40 |" in forms.table([row])


def test_a_form_that_would_take_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "LONGEST_S", 0.0)
    row = forms.compare("layer", layer())
    assert row["formed_s"] is row["rows_s"] is None


def test_a_sampler_that_is_left_out_says_why() -> None:
    problem = sherrington_kirkpatrick(8)
    skipped = [job for job in jobs.rivals(problem) if job.skipped]
    assert {job.peer for job in skipped} == {"openjij integer SA"}
    found = rows.run(problem, skipped)
    assert [row["status"] for row in found] == ["skipped: spins are no integers of several levels"] * 3
    assert all(row["solve_s"] is None for row in found)
