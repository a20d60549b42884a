"""Runs notebooks in kernels of their own and writes a whole notebook or nothing."""

import ast
import json
import os
import re
import signal
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell

from tabbook import split
from tabbook.project import Project, TabbookError, write
from tabbook.source import Chapter

PROGRESS_SECONDS = 5


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kernel_environment(root: Path, parallel: int) -> dict[str, str]:
    """What a chapter's kernel finds in its environment beyond the caller's own variables.

    Args:
        root: the repository, so that `d2l_ext` is this one's.
        parallel: how many kernels run at once; they share the cores evenly.

    Returns:
        The variables to set: import path, a quiet TensorFlow, a fixed hash seed, thread counts.
    """
    threads = str(max(1, cores() // parallel))
    path = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": threads,  # PyTorch, MXNet
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,  # NumPy, MXNet
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "NPROC": threads,  # XLA, thus JAX
    }


@dataclass
class Run:
    """One notebook to execute, and how far it is.

    Args:
        chapter: its source.
        framework: its tab.
        path: where the executed notebook goes.
        notebook: its cells, executed in place.
        cell: how many code cells have been started.
        started: when (monotonic seconds), 0 before.
        seconds: how long it took, once it is over.
        error: what went wrong; "" as long as nothing did.
        client: the running nbclient.
    """

    chapter: Chapter
    framework: str
    path: Path
    notebook: nbformat.NotebookNode
    cell: int = 0
    started: float = 0.0
    seconds: float = 0.0
    error: str = ""
    client: NotebookClient | None = None

    @property
    def cells(self) -> int:
        """How many code cells there are."""
        return sum(cell.cell_type == "code" for cell in self.notebook.cells)

    def progress(self) -> str:
        """One line on how far the run is."""
        elapsed = self.seconds or time.monotonic() - self.started
        name = f"{self.chapter.name:<28} {self.framework:<10}"
        return f"{name} cell {self.cell:>2}/{self.cells:<2} {elapsed:6.1f} s"


def execute(
    project: Project,
    chapters: list[Chapter],
    frameworks: list[str],
    *,
    out: Path | None = None,
    parameters: dict[str, object] | None = None,
    jobs: int = 1,
    timeout: int = 600,
) -> bool:
    """Execute chapters and print progress, tracebacks and a table.

    Args:
        out: a folder for the executed notebooks; None replaces the committed ones. Only there is
            a notebook written whose execution failed.
        parameters: values for the chapters' parameters, by name; need `out`.
        jobs: how many notebooks run at once, each in a process of its own.
        timeout: limit for a cell, in seconds.

    Returns:
        Whether all notebooks ran to their end.

    Raises:
        TabbookError: a parameter is unknown, or lacks `out`.
        KeyboardInterrupt: from the user; the kernels are gone and nothing was written.
    """
    if parameters and out is None:
        raise TabbookError("--parameter needs --out: the committed notebooks hold the defaults")
    runs = []
    unused = set(parameters or ())
    for chapter in chapters:
        for framework in frameworks:
            notebook = split.readers(project, chapter, framework)
            unused -= inject(notebook, parameters or {})
            path = project.notebook(chapter.name, framework)
            if out is not None:
                path = out.resolve() / framework / f"{chapter.name}.ipynb"
            runs.append(Run(chapter, framework, path, notebook))
    if unused:
        names = ", ".join(sorted(unused))
        raise TabbookError(f"no chosen chapter has a parameter '{names}' (cell tagged parameters)")
    environment = kernel_environment(project.root, jobs)
    _run_all(runs, environment, jobs, timeout)
    for run in runs:
        if out is None:
            run.notebook.metadata.tabbook["seconds"] = round(run.seconds, 1)
        if out is not None or not run.error:
            write(run.path, nbformat.writes(run.notebook) + "\n")
    print(table(runs))
    if not parameters:
        _store_timings(project, runs)
    return not any(run.error for run in runs)


def inject(notebook: nbformat.NotebookNode, parameters: dict[str, object]) -> set[str]:
    """Put a cell with new values behind the notebook's cell tagged `parameters`.

    Returns:
        The parameters that the notebook has.
    """
    for index, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            known = {
                target.id
                for statement in ast.parse(cell.source).body
                if isinstance(statement, ast.Assign)
                for target in statement.targets
                if isinstance(target, ast.Name)
            }
            given = {name: value for name, value in parameters.items() if name in known}
            if given:
                source = "\n".join(f"{name} = {value!r}" for name, value in given.items())
                metadata = {"tags": ["injected-parameters"]}
                new = new_code_cell(source, id="injected-parameters", metadata=metadata)
                notebook.cells.insert(index + 1, new)
            return set(given)
    return set()


def _run_all(runs: list[Run], environment: dict[str, str], jobs: int, timeout: int) -> None:
    """Execute `runs`, `jobs` at a time, with a line of progress every few seconds."""
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run, run, environment, timeout, stop): run for run in runs}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, PROGRESS_SECONDS, FIRST_COMPLETED)
                for future in done:
                    future.result()
                    run = futures[future]
                    print(f"{run.progress()}  {'FAILED' if run.error else 'ok'}", flush=True)
                    if run.error:
                        print(run.error, flush=True)
                for run in [] if done else runs:
                    if run.started and not run.seconds:
                        print(run.progress(), flush=True)
        except BaseException:
            stop.set()
            print("stopping the kernels; every file stays as it was", flush=True)
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):
                for run in runs:
                    _kill(run)
                time.sleep(0.2)
            raise


def _kill(run: Run) -> None:
    """Kill the kernel of a run, and what the kernel started, if there is one."""
    manager = run.client.km if run.client is not None else None
    process = getattr(manager.provisioner, "process", None) if manager is not None else None
    if process is not None and process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)  # jupyter_client gives a kernel its own group


def _run(run: Run, environment: dict[str, str], timeout: int, stop: threading.Event) -> None:
    """Execute one notebook in a kernel of its own."""
    if stop.is_set():
        return

    def count(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if stop.is_set():
            raise DeadKernelError("interrupted")
        run.cell += cell.cell_type == "code"

    metadata = run.notebook.metadata.copy()
    run.started = time.monotonic()
    run.path.parent.mkdir(parents=True, exist_ok=True)
    run.client = NotebookClient(
        run.notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(run.path.parent)}},
        on_cell_start=count,
    )
    with tempfile.TemporaryFile("w+") as log:  # what the kernel's process says outside of cells
        try:
            run.client.execute(env=os.environ | environment, stderr=log)
        except CellExecutionError:
            run.error = _explain(run)
        except CellTimeoutError:
            run.error = f"code cell {run.cell} ran longer than {timeout} s; see --timeout"
        except (DeadKernelError, RuntimeError) as error:
            log.seek(0)
            run.error = f"the kernel died in code cell {run.cell}: {error}\n{log.read()}"
    run.notebook.metadata = metadata  # without the kernel's Python version
    run.seconds = time.monotonic() - run.started


def _explain(run: Run) -> str:
    """The traceback of a failed run under the place in the chapter that it comes from."""
    for cell in run.notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get(
                "tags", []
            ):
                traceback = split.ANSI.sub("", "\n".join(output.traceback))
                lines = re.findall(rf"Cell In\[{cell.execution_count}\], line (\d+)", traceback)
                source = {known.id: known for known in run.chapter.cells}.get(cell.id)
                if source is None:
                    return f"the injected parameters:\n{traceback}"
                line = split.shown(source)[int(lines[-1]) - 1][0] if lines else 1
                place = run.chapter.where(source, line)
                return f"{place}, {run.framework}:\n{traceback}"
    return "failed without a traceback"


def table(runs: list[Run]) -> str:
    """A row a chapter, a column a framework: seconds and result."""
    frameworks = list(dict.fromkeys(run.framework for run in runs))
    rows: dict[str, dict[str, str]] = {}
    for run in runs:
        result = f"{run.seconds:.1f} s {'FAILED' if run.error else 'ok'}"
        rows.setdefault(run.chapter.name, {})[run.framework] = result
    width = max([7, *map(len, rows)])
    lines = [f"{'chapter':<{width}}" + "".join(f"{name:>16}" for name in frameworks)]
    for name, results in rows.items():
        lines.append(f"{name:<{width}}" + "".join(f"{results[f]:>16}" for f in frameworks))
    failed = sum(bool(run.error) for run in runs)
    lines.append(f"{len(runs) - failed} of {len(runs)} notebooks ok")
    return "\n".join(["", *lines])


def _store_timings(project: Project, runs: list[Run]) -> None:
    """Merge the seconds of successful runs into build/timings.json."""
    path = project.root / "build" / "timings.json"
    timings = json.loads(path.read_text()) if path.is_file() else {}
    for run in runs:
        if not run.error:
            timings.setdefault(run.framework, {})[run.chapter.name] = round(run.seconds, 1)
    write(path, json.dumps(timings, indent=1, sort_keys=True) + "\n")
