"""Makes nbval run the committed notebooks as `tabbook execute` ran them."""

import os
from pathlib import Path

from nbval.kernel import RunningKernel

from tabbook.execute import kernel_environment


def pytest_configure() -> None:
    """Give nbval's kernels, which inherit this process's environment, the chapters' variables."""
    parallel = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ |= kernel_environment(Path(__file__).parents[1], parallel)


def _execute(self: RunningKernel, source: str, allow_stdin: bool | None = None) -> str:
    """Send a cell with history, without which IPython shows the value before a final `;`.

    nbval 0.11.0 sends store_history=False (its issue 194).
    """
    return self.kc.execute(
        source, store_history=True, allow_stdin=bool(allow_stdin), stop_on_error=False
    )


RunningKernel.execute_cell_input = _execute
