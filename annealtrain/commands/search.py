"""What `sweep=search` needs beside Optuna's sweeper: a study that is kept in a database."""

import logging
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from annealtrain.errors import InputError

PARAMS = "hydra.sweeper.params"


def with_params(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with what is searched over added to, whether the sweep names it already or not.

    Hydra itself takes `+` for the one and refuses it for the other.
    """
    return [f"++{word}" if word.startswith((f"{PARAMS}=", f"{PARAMS}.")) else word for word in arguments]


def prepare(config: DictConfig) -> None:
    """Make the database that hydra.sweeper.storage names ready for Optuna; InputError where it cannot be.

    Optuna 2 writes the version of its tables without a commit, which SQLAlchemy 2 needs: the first use of a new
    database would end in an AssertionError. Opened once with every statement its own commit, it is a good one.
    """
    storage = OmegaConf.select(config, "hydra.sweeper.storage", default=None)
    if config.hydra.runtime.choices.get("hydra/sweeper") != "optuna" or not isinstance(storage, str):
        return
    from optuna.storages import RDBStorage

    level = logging.getLogger("alembic").level
    try:
        RDBStorage(storage, engine_kwargs={"isolation_level": "AUTOCOMMIT"})
    except Exception as error:  # of SQLAlchemy, of alembic, of a driver, of Optuna
        why = " ".join(str(error).split())[:300]
        raise InputError(
            f"hydra.sweeper.storage={storage} cannot be used ({type(error).__name__}: {why}): write "
            "sqlite:///FILE in a folder that is there; known to work: pip install -c constraints.txt (SQLAlchemy 2.1)"
        ) from error
    finally:
        logging.getLogger("alembic").setLevel(level)
