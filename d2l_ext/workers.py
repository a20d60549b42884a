"""Processes that train together: starting them, watching over them, and ending all of them.

What they say to each other is for each framework's own engine, which finds the others by variables
of its own. Here is what surrounds that, and no framework: `launch` starts workers on this machine,
on a cluster something else does (docs/cluster.md). Not for Windows.

A worker that `launch` has started holds a lock on a file as long as it lives. So its end is seen
whichever way it ended, and whoever its parent was. It waits in turn for a lock that the launcher
holds: when that is gone, so is the worker.
"""

import contextlib
import importlib
import inspect
import json
import linecache
import math
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from d2l_ext import compat, devices
from d2l_ext.arguments import check_positive

FOLDER, NUMBER = "D2L_EXT_RUN", "D2L_EXT_WORKER"
HOST = "127.0.0.1"
LIBRARIES = {"pytorch": "torch", "jax": "jax", "tensorflow": "tensorflow", "mxnet": "mxnet"}
VARIABLES = {  # of each engine, without which a worker does not know who it is
    "pytorch": ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"),
    "jax": ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
    "tensorflow": ("TF_CONFIG",),
    "mxnet": (
        "DMLC_PS_ROOT_URI",
        "DMLC_PS_ROOT_PORT",
        "DMLC_NUM_SERVER",
        "DMLC_NUM_WORKER",
        "DMLC_ROLE",
    ),
}
PATIENCE = 60  # seconds in which a sum over MXNet's workers must have come
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # XLA
)
# torchrun, without its report of what the launcher reports
TORCHRUN = """
import logging, sys
logging.disable()
from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
try:
    run.main(sys.argv[1:])
except ChildFailedError:
    sys.exit(1)
"""


class WorkerError(RuntimeError):
    """A worker has ended before its time; the message says which, and why.

    `log` holds the last lines that it wrote to stderr.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.message, self.log = message, log

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"    {line}" for line in self.log.splitlines())])


# In a worker ------------------------------------------------------------------------------------

_terminal = None  # what stderr was
_own = None  # the file that says how this worker is; locked until the process is gone


@contextlib.contextmanager
def started() -> Iterator[None]:
    """Tell the launcher that a worker lives, until the block ends; without a launcher do nothing.

    Within the block, what engines write to the process's standard output and error goes into a
    file that the launcher shows if the worker fails. `print` writes where it did before.
    """
    folder = os.environ.get(FOLDER)
    _claim_gpu()
    if folder is None:
        yield
        return
    global _terminal, _own
    folder, number = Path(folder), os.environ.get("RANK") or os.environ[NUMBER]
    try:
        _own = _locked(folder / number)
    except FileNotFoundError:  # the launcher has gone already, and the folder with it
        os._exit(1)
    threading.Thread(target=_outlive, args=[folder / "launcher"], daemon=True).start()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stdout = open(os.dup(1), "w", buffering=1)  # noqa: SIM115
    _terminal = os.dup(2)
    with open(folder / f"{number}.log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    _say(os.getpid())
    try:
        yield
    except BaseException as error:
        over = isinstance(error, SystemExit) and not error.code
        if not over:  # now, since an engine's farewell may take long
            traceback.print_exc()
        _say("done" if over else "".join(traceback.format_exception_only(error)).split("\n")[0])
        raise
    _say("done")


def _claim_gpu():
    """Under torchrun: leave the GPUs of this machine's other workers to them."""
    local, visible = os.environ.get("LOCAL_RANK"), os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible is not None else list(map(str, range(_count_gpus())))
    if local is not None and int(local) < len(gpus) and len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(local)]


def _say(what):
    """Add a line to what the launcher knows of this worker."""
    _own.write(f"{what}\n")
    _own.flush()


def check_variables(framework: str) -> None:
    """Find out whether the variables are there by which a framework's engine finds the others.

    Raises:
        ValueError: if not; it names those that are missing. TensorFlow would train alone.
    """
    if framework == "jax" and {"SLURM_PROCID", "OMPI_MCA_orte_hnp_uri"} & os.environ.keys():
        return  # it finds the others by these schedulers' variables, too
    missing = [name for name in VARIABLES[framework] if not os.environ.get(name)]
    if missing:
        raise ValueError(
            f"a worker finds the others by variables that are not set: {', '.join(missing)}; "
            "docs/cluster.md says who sets them, and --workers does on one machine"
        )
    if framework == "tensorflow":
        try:
            config = json.loads(os.environ["TF_CONFIG"])
            config["cluster"]["worker"][config["task"]["index"]]
        except (ValueError, LookupError, TypeError):
            raise ValueError(
                f"TF_CONFIG is {os.environ['TF_CONFIG']!r}, which names no worker of a cluster; "
                "docs/cluster.md shows what it holds"
            ) from None


def patient(worker_class: type) -> type:
    """MXNet's `Worker`, whose patience has an end.

    Its engine would wait for ever for a worker that has died. Of this class, a process ends with a
    line that says why when a sum, or the others' farewell, has not come after `PATIENCE` seconds.

    Args:
        worker_class: the `Worker`.

    Returns:
        A class derived from it. (A worker whose methods were replaced would be part of a cycle,
        and not be gone, with its connections, when the last name for it is.)
    """

    class Patient(worker_class):
        def add_up(self, arrays):
            for array in arrays:  # computing them may take as long as it likes
                array.wait_to_read()
            with _patience(f"worker {self.rank} of {self.size}"):
                super().add_up(arrays)
                for array in arrays:
                    array.wait_to_read()

        def close(self):
            with _patience(f"worker {self.rank} of {self.size}"):
                super().close()

    return Patient


@contextlib.contextmanager
def _patience(who):
    """End the process if the block takes longer than `PATIENCE` seconds."""

    def give_up():
        print(
            f"d2l_ext: error: {who} has waited {PATIENCE} s for the others; one of them has "
            "died, or is much slower",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    timer = threading.Timer(PATIENCE, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def terminal() -> Any:
    """A file that writes to where stderr went before `started`."""
    if _terminal is None:
        return sys.stderr
    return open(_terminal, "w", closefd=False)


def _locked(path):
    """A new file, locked as long as this process has it open."""
    import fcntl  # not on Windows

    file = open(path, "w")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _is_locked(path):
    import fcntl

    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _outlive(path):
    """Wait until nobody has a lock on a file, then end this process."""
    import fcntl

    with contextlib.suppress(OSError), open(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    os._exit(1)


# The launcher -----------------------------------------------------------------------------------


def launch(
    framework: str,
    command: Sequence[str],
    size: int,
    *,
    cpu: bool = False,
    cores: int | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> None:
    """Start workers on this machine and wait until all are done.

    Args:
        framework: "pytorch", "mxnet", "jax" or "tensorflow".
        command: list of strings behind `python` for each worker, such as `["-m", "d2l_ext",
            "train", "--worker", ...]`. It calls `started`.
        size: number of workers.
        cpu: whether they leave a GPU alone. They do so, too, if there is not one for each.
        cores: threads of each; None for an even share of the machine's cores.
        folder: where workers and launcher keep what they tell each other; None for one that is
            removed in the end.

    Raises:
        WorkerError: if a worker ends before it is done; the others have been ended then, and the
            message names it. They are ended as well by an interrupt.
        ValueError: if there is no such framework, or `size` or `cores` is not a positive integer.
        ImportError: if the framework is not installed.
        OSError: on Windows.
    """
    if not isinstance(framework, str) or framework not in LIBRARIES:
        raise ValueError(f"framework is {framework!r}; expected one of {', '.join(LIBRARIES)}")
    for name, count in (("size", size), ("cores", 1 if cores is None else cores)):
        check_positive(name, count)
    compat.check_installed(LIBRARIES[framework])
    if os.name == "nt":
        raise OSError("workers do not run on Windows; use Linux, macOS or WSL")
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="d2l_ext-"))
        folder = Path(folder)
        stack.enter_context(_locked(folder / "launcher"))
        children = {}
        try:
            for name, arguments, variables in _processes(framework, list(command), size):
                variables[FOLDER] = str(folder)
                children[name] = subprocess.Popen(
                    [sys.executable, *arguments],
                    env=_environment(size, cpu, cores, name) | variables,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the launcher alone
                )
            _watch(folder, children, size)
            deadline = time.monotonic() + 10  # in which they may say goodbye
            while any(c.poll() is None for c in children.values()) and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            _end(folder, children)


def _processes(framework, command, size):
    """What to start: name, arguments of python, and variables, each."""
    if framework == "pytorch":
        (port,) = _free_ports(1)
        options = [f"--nproc-per-node={size}", f"--master-addr={HOST}", f"--master-port={port}"]
        yield "torchrun", ["-c", TORCHRUN, *options, *command], {"LOGLEVEL": "CRITICAL"}
        return
    roles = []
    if framework == "jax":
        (port,) = _free_ports(1)
        shared = {"JAX_COORDINATOR_ADDRESS": f"{HOST}:{port}", "JAX_NUM_PROCESSES": str(size)}
        own = [{"JAX_PROCESS_ID": str(number)} for number in range(size)]
    elif framework == "tensorflow":
        addresses = [f"{HOST}:{port}" for port in _free_ports(size)]
        tasks = [{"type": "worker", "index": number} for number in range(size)]
        config = {"cluster": {"worker": addresses}}
        shared = {}
        own = [{"TF_CONFIG": json.dumps(config | {"task": task})} for task in tasks]
    else:
        port, *ports = _free_ports(size + 1)
        shared = {
            "DMLC_PS_ROOT_URI": HOST,
            "DMLC_PS_ROOT_PORT": str(port),
            "DMLC_NUM_WORKER": str(size),
            "DMLC_NUM_SERVER": "1",
            "DMLC_NODE_HOST": HOST,
        }
        # The scheduler numbers the workers by their ports
        own = [{"DMLC_ROLE": "worker", "PORT": str(port)} for port in sorted(ports)]
        roles = ["scheduler", "server"]
    for role in roles:
        yield (
            role,
            ["-m", "d2l_ext.workers", "--mxnet-role"],
            shared | {"DMLC_ROLE": role, NUMBER: role},
        )
    for number in range(size):
        yield number, command, shared | own[number] | {NUMBER: str(number)}


def _free_ports(count):
    """Ports that nobody uses right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind((HOST, 0))
        return [free.getsockname()[1] for free in sockets]


def _environment(size, cpu, cores, name):
    """The variables of a process: its share of the cores, and a GPU or none."""
    threads = cores or max(1, (os.cpu_count() or 1) // size)
    environment = dict(os.environ)
    for variable in THREADS:
        least = environment.get(variable, "") if cores is None else ""
        environment[variable] = str(min(threads, int(least) if least.isdecimal() else threads))
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # cores are to compute, not to wait
    found = 0 if cpu else _count_gpus()
    if not cpu and found < size and devices.requested() == "gpu":
        raise ValueError(
            f"{devices.VARIABLE} is gpu, but there are {found} GPUs for {size} workers; ask for "
            f"fewer workers, or set {devices.VARIABLE}=cpu"
        )
    if found < size:
        return environment | {"D2L_EXT_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if isinstance(name, int):
        environment["CUDA_VISIBLE_DEVICES"] = str(name)
    return environment


def _count_gpus():
    """How many GPUs NVIDIA's driver lists."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    return len(listed.stdout.splitlines()) if listed.returncode == 0 else 0


def _watch(folder, children, size):
    """Wait until all workers are done, or raise `WorkerError` when one has ended otherwise."""
    while True:
        states = {number: _state(folder / str(number)) for number in range(size)}
        if all(said == "done" for _, said in states.values()):
            return
        dead = [
            number
            for number, (alive, said) in states.items()
            if said != "done" and (said or alive is False)
        ]
        for name, child in children.items():
            # A worker that never said it was there; or what is no worker
            if child.poll() and states.get(name, (None,))[0] is None:
                dead.append(name)
        if dead:
            raise _why(folder, dead, size, children)
        time.sleep(0.05)


def _state(path):
    """Whether a worker is alive (None: not yet), and the last that it said of itself."""
    if not path.exists():
        return None, ""
    alive = _is_locked(path)
    lines = path.read_text().splitlines()
    return alive if lines else None, lines[-1] if len(lines) > 1 else ""


def _why(folder, dead, size, children):
    """The error that names the first of those that have ended."""

    def order(name):
        # One that was killed says nothing; that the others miss it is what they complain of
        path = folder / str(name)
        when = path.stat().st_mtime if path.exists() else math.inf
        return name == "torchrun", bool(_state(path)[1]), when

    name = min(dead, key=order)
    path, child = folder / str(name), children.get(name)
    said = _state(path)[1]
    process = child.pid if child else path.read_text().split()[0]
    status = child.poll() if child else None
    how = "was killed"
    if said:
        how = f"ended with an error: {said}"
    elif status is not None and status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    elif status is not None:
        how = f"ended with status {status}"
    called = f"worker {name} of {size}" if isinstance(name, int) else f"the {name}"
    log = _last_lines(folder / f"{name}.log") if said else ""
    return WorkerError(f"{called} (process {process}) {how}; all others were ended", log)


def _last_lines(path, count=20):
    """The end of a log, if there is one."""
    lines = path.read_text(errors="replace").splitlines()[-count:] if path.exists() else []
    return "\n".join(lines)


def _end(folder, children):
    """End every process that was started, and return when all are gone."""
    for child in children.values():
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    for path in folder.iterdir():  # what torchrun has started has groups of its own
        if path.name.isdecimal() and _is_locked(path):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(path.read_text().split()[0]), signal.SIGKILL)
            while _is_locked(path):
                time.sleep(0.01)


# A function in several workers ------------------------------------------------------------------


def run(
    framework: str,
    function: Callable,
    size: int,
    *arguments: Any,
    cpu: bool = True,
    cores: int | None = None,
) -> list:
    """Call a function in several new processes, each of which is a worker.

    Args:
        framework: "pytorch", "mxnet", "jax" or "tensorflow".
        function: called with a `Worker`, then the arguments. It is sent as text: it knows
            builtins, `d2l`, `numpy`, and what it imports itself.
        size: number of workers.
        arguments: anything that `pickle` takes.
        cpu: whether the workers leave a GPU alone.
        cores: threads of each; None for an even share of the machine's cores.

    Returns:
        List of what it returned, by the worker's rank.

    Raises:
        WorkerError: if a worker fails; the message names it.
    """
    with tempfile.TemporaryDirectory(prefix="d2l_ext-") as folder:
        folder = Path(folder)
        text = textwrap.dedent(inspect.getsource(function))
        task = framework, text, function.__name__, arguments
        (folder / "task").write_bytes(pickle.dumps(task))
        launch(framework, ["-m", "d2l_ext.workers"], size, cpu=cpu, cores=cores, folder=folder)
        return [pickle.loads((folder / f"result{i}").read_bytes()) for i in range(size)]


def _run_task():
    """What a worker of `run` does."""
    folder = Path(os.environ[FOLDER])
    framework, text, name, arguments = pickle.loads((folder / "task").read_bytes())
    d2l = importlib.import_module(f"d2l_ext.{LIBRARIES[framework]}")
    known = {"d2l": d2l, "numpy": numpy}
    place = f"<{name}>"
    linecache.cache[place] = len(text), None, text.splitlines(True), place  # for a traceback
    exec(compile(text, place, "exec"), known)
    worker = d2l.Worker()
    result = known[name](worker, *arguments)
    worker.close()
    (folder / f"result{worker.rank}").write_bytes(pickle.dumps(result))


def _serve():
    """Be MXNet's server, or its scheduler: as DMLC_ROLE says."""
    check_variables("mxnet")
    compat.prepare("mxnet")
    importlib.import_module("mxnet.kvstore.kvstore_server")  # it returns when all is over


if __name__ == "__main__":
    with started():
        _serve() if "--mxnet-role" in sys.argv else _run_task()
