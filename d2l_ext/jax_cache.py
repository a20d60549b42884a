"""JAX's persistent compilation cache: what one process has compiled, the next one reads.

XLA compiles a program for each model and each shape, which takes longer than a short training.
JAX can keep the programs in files, but does so only when told. `turn_on` tells it, for everybody
who imports `d2l_ext.jax`. JAX_ENABLE_COMPILATION_CACHE=0 in the environment turns it off.
"""

import contextlib
import hashlib
import os
import platform
import warnings
from pathlib import Path

MOST_BYTES = 2**28  # of a folder; a model and its shapes take about 1 MB


def turn_on() -> Path | None:
    """Let JAX keep its compiled programs in the user's cache folder.

    There they lie by version of jaxlib and by processor, since a program holds the instructions of
    the processor that it was compiled for. The oldest are deleted when they fill 256 MiB.

    The cache is never in the way. Where nothing can be written, JAX compiles as it did without it;
    an entry that cannot be read or written costs a compilation and no warning. What the user has
    set is kept: a folder of their own, or that there is none.

    Returns:
        The folder; None if this function set none.
    """
    import jax
    import jaxlib
    import platformdirs

    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return None
    kind = f"jaxlib-{jaxlib.__version__}-{_processor()}"
    try:
        folder = Path(platformdirs.user_cache_dir("d2l_ext", appauthor=False), "jax", kind)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK) or not _mine(folder):
            return None
        _shrink(folder)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    return folder


def _processor() -> str:
    """A name for this machine's processor, another one where the instructions differ."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        able = sorted({line for line in lines if line.startswith(("model name", "flags", "Feat"))})
        return f"{platform.machine()}-{hashlib.sha256(repr(able).encode()).hexdigest()[:8]}"
    return platform.machine()


def _mine(folder: Path) -> bool:
    """Whether a folder is the user's own: what lies in it gets executed."""
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _shrink(folder: Path) -> None:
    """Delete a folder's oldest entries until the others fit into `MOST_BYTES`."""
    entries = [(path.stat(), path) for path in folder.glob("*-cache")]
    total = sum(stat.st_size for stat, _ in entries)
    for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
        if total <= MOST_BYTES:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size
