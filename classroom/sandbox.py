"""Where a student's code runs: the command, environment and limits of its kernel.

With bubblewrap (https://github.com/containers/bubblewrap) the kernel sees a read-only system, this
Python environment, `d2l_ext` and the compiled checks, and writes to a small folder in memory that
is gone afterwards. It has no network and sees no other process. We talk to it through sockets in
a folder of its own.
"""

import importlib.util
import json
import os
import py_compile
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from classroom import language

UID = 64999  # whom root becomes inside: a number that no account uses
THREADS = 1024  # besides those that the user has already
PROCESSES = 64
SCRATCH = 512 * 2**20  # bytes, for /tmp, for /dev/shm, and for one file
HERE = Path(__file__).parent
CHECKS = HERE / "checks.py"
D2L_EXT = Path(importlib.util.find_spec("d2l_ext").origin).resolve().parent

# The ways to start bubblewrap, best first. Root needs no user namespace and gives up its rights
# inside; where that fails, and for everybody else, there is a user namespace.
WAYS = {
    "root": "--unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup-try "
    "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID",
    "user": "--unshare-all --unshare-user --uid 1000 --gid 1000",
}


class SandboxError(RuntimeError):
    """A kernel could not be started. It says nothing about the student's code."""


@dataclass(frozen=True)
class Sandbox:
    """How kernels are started.

    Args:
        library: the folder that `make_library` has made.
        hidden: folders that a kernel must not see even if they lie in one that it sees.
        memory: bytes that one process may have for its data.
        way: a key of WAYS, or None for a kernel that sees the disk and the network.
    """

    library: str
    hidden: tuple = ()
    memory: int = 4 * 2**30
    way: str | None = None

    def command(self, room, files, *code):
        """The command that runs Python in the sandbox.

        Args:
            room: the folder that both sides see.
            files: a folder that is copied to where the kernel works.
            code: what follows `python -c`.
        """
        python = [sys.executable, "-P", "-c", *code]
        if self.way is None:
            return python
        args, bound = ["bwrap", *WAYS[self.way].split()], []
        args += ["--die-with-parent", "--new-session", "--hostname", "sandbox"]
        args += ["--unsetenv", "JPY_PARENT_PID"]  # nobody whom the kernel could watch from inside

        def bind(kind, source, target=None):
            target = str(target or source)
            if any(Path(target).is_relative_to(other) for other in bound):
                return
            parents = [p for p in reversed(Path(target).parents) if str(p) not in ("/", "/tmp")]
            for parent in parents:  # or bubblewrap makes them for root's eyes only
                args.extend(["--perms", "0755", "--dir", str(parent)])
            args.extend([kind, str(source), target])
            bound.append(target)

        for folder in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")):
            if folder.is_symlink():
                args += ["--symlink", os.readlink(folder), str(folder)]
            elif folder.is_dir():
                bind("--ro-bind", folder)
        bind("--ro-bind", "/usr")
        for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime"):
            bind("--ro-bind-try", f"/etc/{name}")
        bind("--ro-bind-try", "/sys/devices/system/cpu")  # libraries count the cores there
        args += ["--proc", "/proc", "--dev", "/dev"]
        for folder in ("/dev/shm", "/tmp"):
            args += ["--perms", "1777", "--size", str(SCRATCH), "--tmpfs", folder]
        executable = Path(sys.executable).resolve()
        for folder in (sys.base_prefix, executable.parent.parent, sys.prefix):
            bind("--ro-bind", folder)
        for folder in self.hidden:
            if any(Path(folder).is_relative_to(other) for other in bound):
                args += ["--tmpfs", str(folder)]
        bind("--ro-bind", self.library, "/opt/classroom")
        bind("--ro-bind", D2L_EXT)
        bind("--ro-bind", files, "/opt/files")
        bind("--bind", room)
        return [*args, "--chdir", "/tmp", "--", *python]

    def environment(self, room):
        """The kernel's environment variables, none of them the teacher's."""
        inside = self.way is not None
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": "/opt/classroom" if inside else self.library,
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/tmp/home" if inside else f"{room}/home",
            "TMPDIR": "/tmp" if inside else f"{room}",
            "USER": "student",
            "LANG": "C.UTF-8",
            "NBGRADER_EXECUTION": "autograde",
            "OMP_NUM_THREADS": "1",  # the same sums in the same order, whatever the machine
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
        }

    def options(self, room, files):
        """What `classroom.kernel` is told, as JSON."""
        inside = self.way is not None
        return json.dumps(
            {
                "uid": UID if self.way == "root" else None,
                "files": "/opt/files" if inside else str(files),
                "work": "/tmp/work" if inside else f"{room}/work",
                "memory": self.memory,
                "scratch": SCRATCH,
                "threads": THREADS + threads_of(UID if self.way == "root" else os.getuid()),
            }
        )

    def as_dict(self):
        return asdict(self)


def threads_of(uid):
    """How many threads a user has: the limit of threads is one for all processes of a user."""
    count = 0
    for process in psutil.process_iter():
        try:
            if process.uids().real == uid:
                count += process.num_threads()
        except psutil.Error:  # gone, or not ours to see
            continue
    return count


def make_library(folder, checks):
    """Fills the folder with what a kernel may import: the launcher and the compiled checks.

    The checks come without their source, so that no traceback and no `open` can print it; those
    in another language as `classroom.LANGUAGE.checks`.
    """
    folder.mkdir()
    packages = {folder / "classroom": checks.read_text("utf-8")}
    for name in language.languages(checks):
        packages[folder / "classroom" / name] = language.translated(checks, name)
    for package, code in packages.items():
        package.mkdir()
        (package / "__init__.py").touch()
        source = package / "checks.py"
        source.write_text(code, "utf-8")
        py_compile.compile(str(source), f"{source}c", dfile="<checks>", doraise=True)
        source.unlink()
    shutil.copyfile(HERE / "kernel.py", folder / "sandboxed_kernel.py")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "d2l_ext").symlink_to(D2L_EXT)


def choose(library, hidden, memory, scratch, wanted=True):
    """The best sandbox that works here, tried out, and a sentence about it.

    Args:
        scratch: an existing private folder to try it in.
        wanted: False to do without bubblewrap.

    Returns:
        (sandbox, sentence)
    """
    warning = (
        "students' code can read what you can read, and use the network. Only the limits of "
        "time, memory and processes hold, and your environment variables are kept back"
    )
    if not wanted:
        return Sandbox(library, hidden, memory), f"NO SANDBOX, as you asked: {warning}."
    if shutil.which("bwrap") is None:
        found = "there is no bubblewrap here (the command bwrap)"
        return Sandbox(library, hidden, memory), f"NO SANDBOX: {found}: {warning}."
    files = scratch / "files"
    files.mkdir()
    for way in ["root", "user"] if os.geteuid() == 0 else ["user"]:
        sandbox = Sandbox(library, hidden, memory, way)
        room = make_room(scratch / way, sandbox)
        code = "import sandboxed_kernel, json, sys, os; os.setuid(json.loads(sys.argv[1])['uid'] "
        code += "or os.getuid()); import classroom, d2l_ext; print(d2l_ext.__file__)"
        tried = subprocess.run(
            sandbox.command(room, files, code, sandbox.options(room, files)),
            env=sandbox.environment(room),
            capture_output=True,
            text=True,
        )
        if tried.returncode == 0:
            return sandbox, "Sandbox: bubblewrap, without network and without your files."
    found = "bubblewrap does not work here: " + (tried.stderr.strip().splitlines() or ["?"])[-1]
    return Sandbox(library, hidden, memory), f"NO SANDBOX: {found}: {warning}."


def make_room(path, sandbox):
    """Makes the folder where kernel and teacher meet; the kernel's user owns it."""
    path.mkdir(mode=0o700)
    if sandbox.way == "root":
        os.chown(path, UID, UID)
    return path


class KernelManager(AsyncKernelManager):
    """Starts one kernel in a sandbox.

    Args:
        sandbox: a Sandbox.
        room: its folder, new and empty.
        files: what the kernel finds in its working folder.
    """

    def __init__(self, sandbox, room, files, **kwargs):
        super().__init__(
            transport="ipc",
            ip=str(room / "s"),
            connection_file=str(room / "connection.json"),
            **kwargs,
        )
        self.sandbox, self.room = sandbox, room
        code = "import sandboxed_kernel; sandboxed_kernel.main()"
        argv = sandbox.command(room, files, code, sandbox.options(room, files))
        self._kernel_spec = KernelSpec(
            argv=[*argv, "-f", "{connection_file}"], language="python", interrupt_mode="message"
        )

    def write_connection_file(self, **kwargs):
        super().write_connection_file(**kwargs)
        if self.sandbox.way == "root":
            os.chown(self.connection_file, UID, UID)

    @property
    def process(self):
        """The Popen of the kernel, or of bubblewrap around it; None before and after."""
        return getattr(self.provisioner, "process", None)
