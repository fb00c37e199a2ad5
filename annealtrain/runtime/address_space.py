"""Whether a limit on this process's address space leaves room to start, asked before NumPy is loaded."""

from annealtrain.errors import InputError

LEAST_MB = 384  # below some 300 MB, NumPy's and SciPy's libraries end, fail to load or wait for ever as they start


def require_address_space() -> None:
    """Raise InputError where the system limits the address space to less than the libraries need at their start."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_MB * 2**20:
        raise InputError(
            f"the address space is limited to {limit // 2**20} MB, at least {LEAST_MB} MB are needed: "
            f"raise the limit, such as ulimit -v {LEAST_MB * 1024}"
        )
