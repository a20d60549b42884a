"""Fixtures for all tests."""

import os

# Before any framework starts: TensorFlow's log lines would drown the tests' own output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from tests import frameworks


@pytest.fixture(scope="session", params=frameworks.UNDER_TEST, ids=repr)
def framework(request):
    """Each framework under test in turn (`tests.frameworks.Framework`)."""
    return request.param
