"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

from tabbook.execute import kernel_environment

# Before any framework starts: its share of the cores, and no log lines of TensorFlow's.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ |= kernel_environment(Path(__file__).parents[1], workers)

from tests import frameworks  # noqa: E402


@pytest.fixture(scope="session", params=frameworks.UNDER_TEST, ids=repr)
def framework(request):
    """Each framework under test in turn (`tests.frameworks.Framework`)."""
    return request.param
