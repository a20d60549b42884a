"""Grades one submission with nbgrader, in a process of its own that `classroom.grade` forks.

nbgrader's own steps remain. Before them the notebook is mended (`classroom.damage`); students'
code runs in a sandboxed kernel that survives what it does (`Execute`).
"""

import ctypes
import json
import logging
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty

import nbformat
import psutil
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output
from nbgrader import preprocessors
from nbgrader.apps import AutogradeApp
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.utils import is_grade, parse_utc
from traitlets import Any

from classroom import damage
from classroom.sandbox import PROCESSES, SCRATCH, KernelManager, Sandbox, SandboxError, make_room

REMEMBER, RESTORE = "%classroom remember", "%classroom restore"  # see classroom.kernel
OTHERS = shutil.ignore_patterns("*.ipynb", "timestamp.txt", "submission_secret.txt")
START = 120  # seconds that a kernel, or the import of a framework, may take at the least
MOST_OUTPUT = 2_000_000  # characters kept of one cell
OWN_MEMORY = 3 * 2**30  # bytes, for this process
NO_MEMORY = re.compile(
    "MemoryError|can't allocate memory|Unable to allocate|bad_alloc|RESOURCE_EXHAUSTED|"
    "ResourceExhausted|[Oo]ut of memory|Memory allocation|[Ff]ailed to allocate"
)


class Execute(preprocessors.Execute):
    """nbgrader's Execute, which goes on when a kernel dies or a cell never ends.

    `job` holds: sandbox (Sandbox), folder (Path, private), timeout and total (seconds), imports
    (list of code, by notebook), notes (a list to which sentences are added).
    """

    job = Any()
    startup_timeout = START

    # --- The kernel -----------------------------------------------------------------------------

    def create_kernel_manager(self):
        self.rooms = getattr(self, "rooms", 0) + 1
        room = self.job.folder / f"k{self.rooms}"
        files = self.job.folder / f"files{self.rooms}"
        source = self.resources["metadata"]["path"]
        shutil.copytree(source, files, ignore=OTHERS)
        for path in (files, *files.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        make_room(room, self.job.sandbox)
        self.km = KernelManager(self.job.sandbox, room, files)
        return self.km

    async def async_start_new_kernel(self, **kwargs):
        room = self.km.room
        self.log_path = room.with_suffix(".log")
        with open(self.log_path, "wb") as log:
            await self.km._async_start_kernel(
                extra_arguments=["--HistoryManager.hist_file=:memory:"],
                env=self.job.sandbox.environment(room),
                cwd=str(room),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    start_new_kernel = run_sync(async_start_new_kernel)

    def start(self):
        """Starts a kernel and runs the assignment's imports in it."""
        self.shutdown_kernel = "immediate"
        self.killed = None
        try:
            self.create_kernel_manager()
            self.start_new_kernel()
            Watch(self, self.km.process.pid)
            self.start_new_kernel_client()
            self.nb.metadata["language_info"] = {"name": "python"}
            for code in (*self.imports, REMEMBER):
                reply = self.silently(code, max(START, self.job.timeout))
                if reply["status"] != "ok":
                    why = f"{reply.get('ename')}: {reply.get('evalue')}"
                    raise SandboxError(f"the assignment's imports fail here: {why}")
        except (RuntimeError, DeadKernelError, CellTimeoutError) as error:
            if isinstance(error, SandboxError):
                raise
            tail = self.log_path.read_text(errors="replace").strip().splitlines()[-3:]
            raise SandboxError(f"no kernel starts: {error} {' '.join(tail)}") from error

    def stop(self):
        """Kills the kernel and everything that it has started."""
        if self.km is not None:
            self._cleanup_kernel()
        kill_descendants()

    async def _silently(self, code, seconds):
        """Runs code whose output nobody needs; gives the reply's content."""
        message = self.kc.execute(code, silent=True, store_history=False, allow_stdin=False)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                reply = await self.kc.shell_channel.get_msg(timeout=0.5)
            except Empty:
                await self._async_check_alive()
                continue
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"]
        raise CellTimeoutError(f"no reply within {seconds:.0f} s")

    silently = run_sync(_silently)

    # --- The notebook ---------------------------------------------------------------------------

    def preprocess(self, nb, resources, km=None):
        self.nb, self.km, self.kc, self.resources = nb, None, None, resources
        self.owns_km = True
        self.reset_execution_trackers()
        self.imports = self.job.imports[resources["nbgrader"]["notebook"]]
        self.end = time.monotonic() + self.job.total
        self.timeout_func = lambda cell: max(1, min(self.job.timeout, self.left()))
        self.spoilt = set()  # cells that have stopped a kernel
        for cell in nb.cells:
            if cell.cell_type == "code" and is_grade(cell):
                fail(cell, "NotRun", "this cell was not reached")  # no output means full points
        try:
            self.start()
            for index, cell in enumerate(nb.cells):
                if cell.cell_type == "code" and cell.source.strip():
                    self.run_cell(cell, index)
        finally:
            self.stop()
        return nb, resources

    def left(self):
        """Seconds that remain for this notebook."""
        return self.end - time.monotonic()

    def run_cell(self, cell, index):
        """Runs one cell; whatever it does, the next one finds a kernel that works."""
        name = damage.grade_id(cell) or f"the student's cell {index + 1}"
        if self.left() < 0:
            if is_grade(cell):
                fail(cell, "NotRun", f"the notebook's {self.job.total:.0f} s are used up")
                self.job.notes.append(f"{name} was not run: the notebook's time is used up")
            return
        self.timed_out, self.reply, self.printed = False, None, 0
        self.iopub_timeout = 20  # for the rest of the output, when the cell is done
        problem = None
        try:
            if is_grade(cell):
                self.put_back()
            self.execute_cell(cell, index, store_history=True)
        except DeadKernelError:
            problem = self.killed or "the kernel died (os._exit, or no memory)"
            fail(cell, "DeadKernelError", problem)
        except CellTimeoutError:
            problem = f"stopped after {self.job.timeout:.0f} s, and could only be killed"
            fail(cell, "CellTimeoutError", problem)
        if problem is None and self.timed_out:
            self.job.notes.append(f"{name}: stopped after {self.job.timeout:.0f} s")
            self.spoilt.add(index)
        elif problem is None and self.reply is not None and self.reply["status"] != "ok":
            if NO_MEMORY.search(f"{self.reply.get('ename')}: {self.reply.get('evalue')}"):
                problem = "no memory left within the limit"
            else:
                if not any(output.output_type == "error" for output in cell.outputs):
                    fail(cell, self.reply.get("ename", "Error"), self.reply.get("evalue", ""))
                if not is_grade(cell):  # a test says so in the notebook
                    what = f"{self.reply.get('ename')}: {self.reply.get('evalue')}"
                    self.job.notes.append(f"{name}: {what.splitlines()[0][:200]}")
        if self.printed > MOST_OUTPUT:
            self.job.notes.append(f"{name}: output cut after {MOST_OUTPUT:,} characters")
        if is_grade(cell):
            tidy(cell)
        if problem is not None:
            self.job.notes.append(f"{name}: {problem}")
            self.spoilt.add(index)
            self.begin_again(index)

    def put_back(self):
        """Undoes what student code has done to modules and to the imported names."""
        for code in (RESTORE, *self.imports):
            reply = self.silently(code, self.job.timeout)
            if reply["status"] != "ok":
                raise DeadKernelError(f"the kernel no longer imports: {reply.get('evalue')}")

    def begin_again(self, index):
        """A new kernel, in which everything before cell `index` that is no test has run."""
        while self.left() > 0:
            self.stop()
            self.start()
            for earlier, cell in enumerate(self.nb.cells[:index]):
                if cell.cell_type != "code" or is_grade(cell) or earlier in self.spoilt:
                    continue
                try:
                    self.silently(cell.source, self.timeout_func(cell))
                except (DeadKernelError, CellTimeoutError):
                    self.spoilt.add(earlier)
                    break
            else:
                return

    # --- What nbclient calls --------------------------------------------------------------------

    async def _async_handle_timeout(self, timeout, cell=None):
        self.timed_out = True
        self.iopub_timeout = 3  # whoever does not heed the interrupt until then gets killed
        text = f"stopped after {timeout:.0f} s"
        self.error_on_timeout = {
            "ename": "CellTimeoutError",
            "evalue": text,
            "traceback": [f"CellTimeoutError: {text}"],
        }
        return await super()._async_handle_timeout(timeout, cell)

    def on_cell_executed(self, **kwargs):
        super().on_cell_executed(**kwargs)
        self.reply = kwargs["execute_reply"]["content"]

    def output(self, outs, msg, display_id, cell_index):
        self.printed += len(str(msg["content"]))
        if self.printed > MOST_OUTPUT:
            return None
        return super().output(outs, msg, display_id, cell_index)


class Watch(threading.Thread):
    """Kills a kernel that takes, with all its processes, too much of the machine."""

    def __init__(self, execute, pid):
        super().__init__(daemon=True)
        self.execute, self.top = execute, psutil.Process(pid)
        self.room = execute.km.room
        # what a process maps from files comes on top
        self.most = execute.job.sandbox.memory + 2**30
        self.start()

    def run(self):
        try:
            while self.top.is_running() and self.top.status() != psutil.STATUS_ZOMBIE:
                why = self.complaint()
                if why:
                    self.execute.killed = f"killed: {why}"
                    for process in (self.top, *self.top.children(recursive=True)):
                        kill(process)
                    return
                time.sleep(0.2)
        except psutil.NoSuchProcess:
            return

    def complaint(self):
        """What is too much, or None."""
        family = self.top.children(recursive=True)
        if len(family) > PROCESSES:
            return f"more than {PROCESSES} processes"
        memory = 0
        for process in family:
            try:
                memory += process.memory_info().rss
            except psutil.Error:
                continue
        if memory > self.most:
            return f"more than {self.most / 2**30:.1f} GiB of memory in all processes"
        if sum(entry.lstat().st_size for entry in files_in(self.room)) > SCRATCH:
            return f"more than {SCRATCH // 2**20} MiB of files"
        return None


def files_in(folder):
    """The files in a folder of the kernel's, which may vanish meanwhile."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def kill(process):
    try:
        process.kill()
    except psutil.Error:  # it is gone
        return


def become_reaper():
    """Make processes below this one that detach its children, so that it can kill them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def kill_descendants():
    """Kills all processes below this one: as their reaper it inherits those that detach."""
    for process in psutil.Process().children(recursive=True):
        kill(process)


def fail(cell, name, text):
    """Makes an error the cell's only output, which is what nbgrader takes for no points."""
    cell.outputs = [new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])]


def tidy(cell):
    """Lets nothing but an error decide about a test's points.

    nbgrader gives none for a warning on stderr, which a right solution may cause, and takes a
    displayed number, which any code can display, for the points.
    """
    for output in cell.outputs:
        if output.output_type == "stream":
            output.name = "stdout"
        elif output.output_type == "execute_result":
            output.output_type = "display_data"
            output.pop("execution_count", None)
    cell.outputs.sort(key=lambda output: output.output_type != "error")


# --- One submission -----------------------------------------------------------------------------


def stage(submission, target, release, notes):
    """Copies a submission, mended, to where nbgrader shall read it.

    Links are not followed: they might lead to the teacher's files.

    Args:
        submission: the student's folder.
        target: a folder that is made here.
        release: the folder of the released assignment.
        notes: a list to which sentences are added.

    Raises:
        damage.Damage: a notebook is missing, or can't be graded.
    """
    target.mkdir(parents=True)
    expected = {path.name: path for path in sorted(release.glob("*.ipynb"))}
    size, found = 0, []
    for folder, folders, names in os.walk(submission):
        folders[:] = [name for name in folders if name != ".ipynb_checkpoints"]
        for name in names:
            path = Path(folder, name)
            facts = path.lstat()
            if not stat.S_ISREG(facts.st_mode):
                continue
            if name.endswith(".ipynb"):
                found.append(path)
                continue
            size += facts.st_size
            if size > SCRATCH // 2:
                raise damage.Damage(f"more than {SCRATCH // 2**21} MiB of files")
            copy = target / path.relative_to(submission)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    timestamp = target / "timestamp.txt"
    if timestamp.exists():
        try:
            parse_utc(timestamp.read_text().strip() or None)
        except (ValueError, OverflowError, TypeError):
            timestamp.unlink()
            notes.append("timestamp.txt holds no date; left out")
    for name, path in expected.items():
        released = nbformat.read(path, as_version=4)
        others = [
            other for other in found if other.parent != submission or other.name not in expected
        ]
        submitted = choose_notebook(submission / name, others, released, notes)
        cells, read_notes = damage.read(submitted)
        notebook, mend_notes = damage.mend(cells, released)
        notes += read_notes + mend_notes
        nbformat.write(notebook, target / name)


def choose_notebook(wanted, others, released, notes):
    """The notebook to grade: under its own name, or else the one that holds its cells.

    Args:
        wanted: where the notebook should be.
        others: the submission's notebooks of other names.
        released: the released notebook.
        notes: a list to which a sentence is added if there is something to say.

    Raises:
        damage.Damage: there is no such notebook, or more than one.
    """
    names = {str(path.relative_to(wanted.parent)): path for path in sorted(others)}
    holding = [name for name, path in names.items() if damage.holds(path, released)]
    if wanted.is_file() and not wanted.is_symlink():
        if holding:
            notes.append(f"{', '.join(holding)} holds cells of this assignment, too: not graded")
        return wanted
    if len(holding) == 1:
        notes.append(f"{holding[0]} was taken for {wanted.name}")
        return names[holding[0]]
    if holding:
        there = f"{', '.join(holding)} hold its cells: delete all but one"
    elif others:
        there = f"{', '.join(names)}: no cell of this assignment"
    else:
        there = "no notebook at all"
    raise damage.Damage(f"{wanted.name} is missing ({there})")


def imports(notebook):
    """The code of the released notebook before its first exercise."""
    codes = []
    for cell in notebook.cells:
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("solution") or nbgrader.get("grade"):
            return codes
        if cell.cell_type == "code":
            codes.append(cell.source)
    return codes


class Job:
    """What `Execute` needs to know; see there."""

    def __init__(self, order, notes):
        self.sandbox = Sandbox(**order["sandbox"])
        self.folder = Path(order["folder"])
        self.timeout, self.total = order["timeout"], order["total"]
        self.notes = notes
        self.imports = {}


def autograde(order):
    """Grades the submission that the order names; see `classroom.grade.one`.

    Returns:
        {"graded": bool, "notes": [sentences]}
    """
    course, folder = Path(order["course"]), Path(order["folder"])
    student, assignment = order["student"], order["assignment"]
    notes = []
    job = Job(order, notes)
    app = AutogradeApp()
    app.initialize(["--log-level=WARN"], root=str(course))
    app.coursedir.root = str(course)
    release = Path(app.coursedir.format_path(app.coursedir.release_directory, ".", assignment))
    submitted = app.coursedir.format_path(app.coursedir.submitted_directory, student, assignment)
    app.coursedir.submitted_directory = str(folder / "submitted")
    app.coursedir.autograded_directory = str(folder / "autograded")
    app.coursedir.assignment_id = assignment
    app.coursedir.student_id = "*"  # it is alone there
    target = app.coursedir.format_path(app.coursedir.submitted_directory, student, assignment)
    try:
        stage(Path(submitted), Path(target), release, notes)
    except damage.Damage as error:
        return {"graded": False, "notes": [str(error), *notes]}
    for path in release.glob("*.ipynb"):
        job.imports[path.stem] = imports(nbformat.read(path, as_version=4))

    class ThisExecute(Execute):
        pass

    ThisExecute.job = job
    converter = Autograde(coursedir=app.coursedir, parent=app)
    converter.autograde_preprocessors = [
        ThisExecute if step is preprocessors.Execute else step
        for step in converter.autograde_preprocessors
    ]
    log = Log()
    app.log.addHandler(log)
    try:
        converter.start()
    except NbGraderException:
        return {"graded": False, "notes": [log.reason(), *notes]}
    return {"graded": True, "notes": notes}


class Log(logging.Handler):
    """Keeps nbgrader's error messages."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())

    def reason(self):
        """The last line of the first traceback, or else the first message."""
        for message in self.messages:
            if message.startswith("Traceback"):
                return message.strip().splitlines()[-1]
        return self.messages[0] if self.messages else "nbgrader gave no reason"


def work(order):
    """What the process of its own does: grades, and writes result.json into its folder."""
    folder = Path(order["folder"])
    os.setsid()
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    become_reaper()
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (OWN_MEMORY, hard))
    result = autograde(order)
    (folder / "result.json").write_text(json.dumps(result))
