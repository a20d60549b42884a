"""Writing files so that nobody ever finds half of one."""

import os
from pathlib import Path


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
