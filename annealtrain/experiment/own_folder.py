"""The folder of --config-dir: what in it nobody would read is told before Hydra composes anything."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from annealtrain.errors import InputError
from annealtrain.experiment import hydra_settings, own_yaml
from annealtrain.experiment.known_settings import groups, options
from annealtrain.experiment.own_defaults import check_chosen

ALIKE = 0.7  # of a folder's name and a group's: below it the folder may be there for something else
MAIN = ("config", "train")  # names that a program's main YAML has elsewhere


def check(config_dir: str, words: Sequence[str]) -> None:
    """Raise InputError for a folder of the user's own that is none, or for YAML in it that is not, or cannot be, read.

    words: overrides, which choose some of the folder's YAML.
    """
    folder = Path(config_dir).absolute()
    if not config_dir or not folder.is_dir():
        raise InputError(_no_folder(config_dir, folder))
    _check_names(folder)
    own_yaml.refuse_bombs(str(folder))
    for word in words:
        _check_option(folder, word)
    check_chosen(folder, words)


def _no_folder(config_dir: str, folder: Path) -> str:
    if not config_dir:
        return (
            "--config-dir needs a value: the folder that holds the groups' folders, such as DIR of DIR/model/mine.yaml"
        )
    if folder.is_file():
        above, group = folder.parent.parent, folder.parent.name
        instead = f": write --config-dir={above} {group}={folder.stem}" if group in groups() else ""
        return f"--config-dir: {folder} is a file{instead}"
    return f"--config-dir: there is no folder {folder}"


def _check_names(folder: Path) -> None:
    """Raise InputError for a folder's YAML that lies where no group is."""
    places = (("", [*groups(), "hydra"]), ("sweep", ["launcher"]), ("hydra", hydra_settings.GROUPS))
    for above, known in places:
        for path in sorted(folder.joinpath(above).glob("*/")):
            close = get_close_matches(path.name.lower(), known, n=1, cutoff=ALIKE)
            if close and path.name not in known and any(path.glob("*.y*ml")):
                raise InputError(f"{path} would not be read: rename it to {close[0]}, as the group is called")
    for path in (folder / f"{name}.yaml" for name in MAIN):
        if path.is_file():
            remedy = f"move it to {folder / 'experiment' / 'mine.yaml'}, and write experiment=mine"
            raise InputError(f"{path} would not be read, annealtrain has a main YAML of its own: {remedy}")
    if not any(True for group in [*groups(), "hydra"] for _ in folder.joinpath(group).rglob("*.y*ml")):
        found = [path.name for path in sorted(folder.glob("*.y*ml"))][:1]
        held = f", {found[0]} lies in none" if found else ""
        raise InputError(
            f"--config-dir: {folder} has no YAML in a group's folder{held}: write {folder}/GROUP/NAME.yaml"
        )


def _check_option(folder: Path, word: str) -> None:
    """Raise InputError for a word that chooses what lies in the folder, but not where it would be found."""
    group, _, value = word.lstrip("+").partition("=")
    if group not in groups() or not value.replace("_", "a").replace("-", "a").isalnum() or value in options(group):
        return
    name = f"{value}.yaml"
    if not (folder / group / name).is_file():
        for found in (folder / name, *sorted(folder.glob(f"*/{name}"))):
            if found.is_file():
                raise InputError(f"{found} is not read as {group}={value}: move it to {folder / group / name}")
