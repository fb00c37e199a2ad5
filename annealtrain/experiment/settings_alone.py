"""Settings for a command that makes no run of them: what only a run or a sweep could have a use for is refused."""

import re
from collections.abc import Sequence

from annealtrain.errors import InputError
from annealtrain.experiment.compose import compose_config
from annealtrain.experiment.config import Config

# Tops of keys: where runs lie and how they are started, that one goes on, and how its epochs are shown.
OF_RUNS = ("hydra", "sweep", "resume", "progress")
SEARCHED = "hydra.searchpath"  # where YAML is looked for, which every composition reads


def compose_alone(words: Sequence[str], config_dir: str | None) -> Config:
    """Return the configuration that `annealtrain train` would run with these words, for a command that runs none.

    Raises InputError for words that such a command could only ignore, as for what cannot be composed.
    """
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        if key == SEARCHED and config_dir is not None:
            raise InputError(f"{word}: --config-dir is given too: leave one of them out")
        if re.split("[./@]", key)[0] in OF_RUNS and key != SEARCHED:
            raise InputError(f"{word} is for annealtrain train: no run is made here: leave it out")
    return compose_config(list(words), config_dir)
