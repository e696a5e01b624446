"""The pool of processes, for the tests of training."""

import pytest
from distributed_pool import Pool, shared_pool


@pytest.fixture(scope="session")
def pool() -> Pool:
    return shared_pool()
