"""Many calls of `anneal` from eight threads, some of which fail or are cancelled.

PYTHONPATH=tests python -m pytest -m torture tests/torture/test_callers.py
"""

import pytest
from test_anneal import check_callers


@pytest.mark.torture
def test_many_callers_on_several_threads_know_nothing_of_each_other() -> None:
    check_callers(200)
