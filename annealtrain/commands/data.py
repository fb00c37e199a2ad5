"""`annealtrain data`: the datasets at hand, and how to get the others."""

from annealtrain.data import downloads


def data(data_dir: str | None, download: str | None) -> str:
    """Return what datasets are at hand, where, as text; download: fetch this one first, and say where it is."""
    if download:
        return f"{download} is in {downloads.download(download, data_dir)}"
    return "\n".join(
        f"{row.name:14}{'at hand' if row.present else 'absent ':9}{row.folder}\n{'':14}{row.detail}"
        for row in downloads.available(data_dir)
    )
