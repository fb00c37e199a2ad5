"""Tables at their native size, beside scikit-learn's linear models on the same rows: `python -m bench.tables`.

Every setting of both sides is chosen alike, from a few values: by the mean score of the validation rows, which are few,
over ten seeds (three for the large table); of equals the first, which is the default. Test rows are scored for SEEDS.
California housing has to be downloaded; `california_like` stands for it, made from a seed.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score

import annealtrain
from annealtrain.data.images import Images
from annealtrain.experiment.builder import build
from annealtrain.experiment.compose import compose_config

SEEDS, CHOOSING, MANY = (0, 1, 2), range(10), 10_000
MODELS, RIDGES, ALPHAS = ("mlp", "linear"), (3e-4, 1e-2, 3e-2), (0.001, 0.1)
STRENGTHS = tuple(
    10.0**power for power in (0, -1, 1, -2, 2, -3, 3, -4, 4)
)  # C of the logistic regression, alpha of the ridge's
TABLES = ("breast_cancer", "wine", "diabetes", "california_like")
WITHIN = 0.01
Chosen = tuple[str, list[float], list[float], float]


def california_like(rows: int = 20640) -> tuple[np.ndarray, np.ndarray]:
    """Return skewed features (n, 8) as those of California housing, and prices (n,) that bend, saturate and scatter."""
    random = np.random.default_rng(1990)
    income, age = random.lognormal(1.2, 0.47, rows), random.integers(1, 53, rows)
    rooms, bedrooms = random.lognormal(1.66, 0.3, rows), random.lognormal(0.06, 0.15, rows)
    people, household = random.lognormal(7.0, 0.75, rows), random.lognormal(1.05, 0.25, rows)
    latitude, longitude = random.uniform(32.5, 42, rows), random.uniform(-124, -114, rows)
    coast = np.exp(-(((latitude + longitude + 82) / 3) ** 2))
    price = 0.4 * income + 0.008 * age + 0.2 * np.log(rooms) * income - 0.5 * np.log(household) + coast * income / 3
    noisy = price * random.lognormal(0, 0.25, rows)
    X = np.column_stack([income, age, rooms, bedrooms, people, household, latitude, longitude])
    return X, np.minimum(noisy, np.quantile(noisy, 0.95))


def words_of(table: str, folder: Path) -> list[str]:
    """Return the words of a command line that read a table."""
    if table != "california_like":
        return ["dataset=sklearn", f"dataset.name={table}"]
    X, y = california_like()
    np.savez(folder / f"{table}.npz", X=X, y=y)
    return ["dataset=arrays", f"dataset.file={folder / table}.npz", "task=regression"]


def annealed(words: Sequence[str], folder: Path, seeds: Sequence[int]) -> Iterator[Chosen]:
    """Yield each setting, its scores on validation and on test rows, one a seed, and seconds of a run."""
    for model, ridge, alpha in product(MODELS, RIDGES, ALPHAS):
        if model == "linear" and alpha != ALPHAS[0]:  # nothing of it is left where the outputs are linear
            continue
        own = [f"model={model}", f"gauss_newton.ridge={ridge:g}", f"alpha={alpha:g}"]
        started, rows = time.perf_counter(), []
        for seed in seeds:
            where = folder / "-".join([*own, str(seed)])
            run = annealtrain.train(*words, *own, f"seed={seed}", "progress=false", folder=where)
            rows.append(run.result["last"])  # type: ignore[index]
        kind = "r2" if "val_r2" in rows[0] else "accuracy"
        seconds = (time.perf_counter() - started) / len(seeds)
        yield (
            " ".join(own),
            [row[f"val_{kind}"] for row in rows],
            [row[f"test_{kind}"] for row in rows[: len(SEEDS)]],
            seconds,
        )


def rivals(words: Sequence[str], seeds: Sequence[int]) -> Iterator[Chosen]:
    """Yield the same of scikit-learn's logistic regression, or its ridge regression."""
    parts = [build(compose_config([*words, "model=linear", f"seed={seed}"], None)).splits for seed in seeds]
    for strength in STRENGTHS:
        val, test, started = [], [], time.perf_counter()
        for splits in parts:
            X, y = rows_of(splits.train)
            is_regression = y.dtype.kind == "f"
            made: Any = Ridge(strength) if is_regression else LogisticRegression(C=strength, max_iter=10_000)
            made.fit(X, y)
            score = r2_score if is_regression else accuracy_score
            assert splits.validation is not None
            for found, part in ((val, splits.validation), (test, splits.test)):
                X, y = rows_of(part)
                found.append(float(score(y, made.predict(X))))
        name = f"{'Ridge alpha' if is_regression else 'LogisticRegression C'}={strength:g}"
        yield name, val, test[: len(SEEDS)], (time.perf_counter() - started) / len(seeds)


def rows_of(part: Images) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and labels as scikit-learn takes them."""
    y = part.labels
    return np.asarray(part.images, np.float64), y[:, 0] if y.ndim == 2 else y


def main(names: Sequence[str]) -> int:
    """Print the table; return 1 where ours is more than WITHIN behind."""
    print("| table | score | annealed | s | scikit-learn | s | ours - theirs | settings of the two |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    behind = 0
    for name in names or TABLES:
        with tempfile.TemporaryDirectory() as folder:
            words = words_of(name, Path(folder))
            seeds = (
                CHOOSING if len(build(compose_config([*words, "model=linear"], None)).splits.train) < MANY else SEEDS
            )
            sides = annealed(words, Path(folder), seeds), rivals(words, seeds)
            best = [max(side, key=lambda row: round(mean(row[1]), 6)) for side in sides]
        (own, _, ours, own_s), (other, _, theirs, other_s) = best
        away = mean(ours) - mean(theirs)
        behind += away < -WITHIN
        score = "R2" if "Ridge" in other else "accuracy"
        cells = [name, score, spread(ours), f"{own_s:.1f}", spread(theirs), f"{other_s:.2f}", f"{away:+.4f}"]
        print(f"| {' | '.join(cells)} | `{own}`; `{other}` |", flush=True)
    return int(behind > 0)


def spread(values: Sequence[float]) -> str:
    """Return mean and deviation."""
    return f"{mean(values):.4f} +- {stdev(values):.4f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
