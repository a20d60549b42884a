"""Writing files so that nobody ever finds half of one, and reading arrays from them."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write bytes to a file, which is replaced only when the new one is complete.

    Args:
        path: the file, in a folder that exists.
        content: bytes.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file, which is replaced only when the new one is complete.

    Args:
        path: the file, in a folder that exists.
        arrays: dict from name to array, in C order.
        metadata: dict from name to string.
    """
    from safetensors.numpy import save

    write_whole(path, save(dict(arrays), dict(metadata)))


def read_arrays(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read what `write_arrays` has written.

    Args:
        path: the file, which exists.

    Returns:
        arrays (dict from name to array) and metadata (dict from name to string).

    Raises:
        safetensors.SafetensorError: if it is no complete safetensors file.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return arrays, file.metadata() or {}
