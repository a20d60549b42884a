"""Where arrays and models go: the one place that decides between the CPU and a GPU.

A GPU, where the framework sees one; else the CPU. Each generated module's `device()` says what its
framework sees and asks here. The environment variable D2L_EXT_DEVICE overrides the choice.
"""

import os

VARIABLE = "D2L_EXT_DEVICE"


def requested() -> str | None:
    """Read the environment variable D2L_EXT_DEVICE.

    Returns:
        "cpu" or "gpu"; None if it is not set, or empty.

    Raises:
        ValueError: if it is anything else.
    """
    value = os.environ.get(VARIABLE) or None
    if value not in (None, "cpu", "gpu"):
        raise ValueError(f"{VARIABLE} is {value!r}; set it to cpu or gpu, or leave it unset")
    return value


def use_gpu(title: str, found: bool) -> bool:
    """Decide whether arrays and models go to a GPU.

    Args:
        title: the framework's name, for the message.
        found: whether the framework sees a GPU.

    Returns:
        True for the GPU, False for the CPU.

    Raises:
        ValueError: if D2L_EXT_DEVICE is neither cpu nor gpu.
        RuntimeError: if it is gpu, and the framework sees none.
    """
    kind = requested()
    if kind == "gpu" and not found:
        raise RuntimeError(
            f"{VARIABLE} is gpu, but {title} sees no GPU: install a build of it for GPUs, or set"
            f" {VARIABLE}=cpu"
        )
    return found if kind is None else kind == "gpu"
