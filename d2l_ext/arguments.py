"""Looks at what functions are given, for several modules alike."""

from typing import Any

import numpy as np


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, of Python or of NumPy, and no bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_positive(name: str, value: Any) -> None:
    """Demand a positive integer.

    Args:
        name: what the message calls it.
        value: what was given.

    Raises:
        ValueError: if it is none.
    """
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a positive integer")
