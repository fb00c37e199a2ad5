"""What `sweep=search` needs beside Optuna's sweeper: a study that is kept in a database."""

import logging
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError, in_words
from annealtrain.runtime.validation import whole

TRIALS = whole(1, 1_000_000, "as each is a run")
PARAMS = "hydra.sweeper.params"
QUOTES = ("'", '"')


def with_params(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with what is searched over added to, whether the sweep names it already or not.

    Hydra itself takes `+` for the one and refuses it for the other, and takes values only in quotes.
    Raises InputError where no YAML of the group sweep says who reads it.
    """
    keys = [word.lstrip("+").partition("=")[0] for word in arguments]
    given = [word.lstrip("+") for word in arguments if word.lstrip("+").startswith((f"{PARAMS}=", f"{PARAMS}."))]
    if given and not {"sweep", "hydra/sweeper"} & set(keys):
        key, _, value = given[0].removeprefix(f"{PARAMS}.").partition("=")
        instead = f", or write --multirun {key}={value}" if given[0].startswith(f"{PARAMS}.") else ""
        raise InputError(f"{given[0]}: nothing reads it without a search: add sweep=search{instead}")
    return [f"++{_quoted(word.lstrip('+'))}" if word.lstrip("+") in given else word for word in arguments]


def _quoted(word: str) -> str:
    """Return a word whose value is to be read by a sweep, not by Hydra before it, and whose key may have dots."""
    key, _, value = word.partition("=")
    if key == PARAMS:
        return word
    return f"{PARAMS}={{{key.removeprefix(f'{PARAMS}.')}: {value if value[:1] in QUOTES else repr(value)}}}"


def prepare(config: DictConfig) -> None:
    """Make the database that hydra.sweeper.storage names ready for Optuna; InputError where it cannot be.

    Optuna 2 writes the version of its tables without a commit, which SQLAlchemy 2 needs: the first use of a new
    database would end in an AssertionError. Opened once with every statement its own commit, it is a good one.
    """
    if config.hydra.runtime.choices.get("hydra/sweeper") != "optuna":
        return
    TRIALS.check("hydra.sweeper.n_trials", config.hydra.sweeper.n_trials)
    storage = OmegaConf.select(config, "hydra.sweeper.storage", default=None)
    if not isinstance(storage, str):
        return
    from optuna.storages import RDBStorage

    level = logging.getLogger("alembic").level
    try:
        RDBStorage(storage, engine_kwargs={"isolation_level": "AUTOCOMMIT"})
    except Exception as error:  # of SQLAlchemy, of alembic, of a driver, of Optuna
        raise InputError(
            f"hydra.sweeper.storage={storage} cannot be used ({in_words(error)[:300]}): write "
            "sqlite:///FILE in a folder that is there; known to work: pip install -c constraints.txt (SQLAlchemy 2.1)"
        ) from error
    finally:
        logging.getLogger("alembic").setLevel(level)
