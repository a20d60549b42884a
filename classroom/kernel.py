"""What a student's kernel starts with: limits on its own process, then IPython.

`classroom.sandbox` copies this file, by itself, to where the kernel runs. Nothing here keeps a
determined cheat out: the checks run in the same process as the code that they judge.
"""

import contextlib
import importlib
import json
import os
import resource
import shutil
import sys
from types import TracebackType

from ipykernel.iostream import OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell

REMEMBER = "%classroom remember"
RESTORE = "%classroom restore"
MOST_OUTPUT = 1_000_000  # characters, for one cell
WATCHED = ("builtins", "math", "numpy", "numpy.linalg", "numpy.testing")
CHECKS = "<checks>"  # the file name that the compiled checks carry


class LimitedStream(OutStream):
    """Standard output that a cell can't fill without end."""

    written = 0

    def write(self, string):
        LimitedStream.written += len(string)
        if LimitedStream.written > MOST_OUTPUT:
            raise RuntimeError(f"this cell prints more than {MOST_OUTPUT:,} characters")
        return super().write(string)


def without_checks(traceback, is_cell):
    """The traceback without the frames of the checks and of what they call, up to student code."""
    kept, hidden = [], False
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        hidden = filename == CHECKS or (hidden and not is_cell(filename))
        if not hidden:
            kept.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(kept):
        traceback = TracebackType(traceback, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return traceback


class Shell(ZMQInteractiveShell):
    """IPython whose tracebacks leave out the hidden checks."""

    def _get_exc_info(self, exc_tuple=None):
        kind, error, _ = super()._get_exc_info(exc_tuple)
        chain, seen = [error], set()
        while chain:
            link = chain.pop()
            if link is None or id(link) in seen:
                continue
            seen.add(id(link))
            link.__traceback__ = without_checks(link.__traceback__, self.is_cell)
            chain += [link.__cause__, link.__context__]
        return kind, error, error.__traceback__

    def is_cell(self, filename):
        return filename in self.compile._filename_map


class Kernel(IPythonKernel):
    """IPython's kernel, which can put back what a student's code has overwritten."""

    shell_class = Shell
    pristine = {}

    def raw_input(self, prompt=""):
        raise RuntimeError("nobody answers input() while this is graded")

    async def do_execute(self, code, silent, *args, **kwargs):
        LimitedStream.written = 0
        if code in (REMEMBER, RESTORE):
            (self.remember if code == REMEMBER else self.restore)()
            return {"status": "ok", "execution_count": 0, "payload": [], "user_expressions": {}}
        return await super().do_execute(code, silent, *args, **kwargs)

    def remember(self):
        """Keeps the functions and classes of the modules that checks and tests rely on."""
        for name in WATCHED:
            importlib.import_module(name)
        self.pristine = {
            name: (module, {key: value for key, value in vars(module).items() if callable(value)})
            for name, module in list(sys.modules.items())
            if name in WATCHED or name.partition(".")[0] == "d2l_ext"
        }
        self.pristine["builtins"][1].pop("input")  # the kernel itself exchanges it

    def restore(self):
        """Puts them back. The checks are forgotten: whoever imports them gets them fresh."""
        for name, (module, names) in self.pristine.items():
            sys.modules[name] = module
            for key, value in names.items():
                if vars(module).get(key) is not value:
                    setattr(module, key, value)
        for name in list(sys.modules):
            if name.partition(".")[0] == "classroom":
                del sys.modules[name]


def limit(kind, value):
    """Sets a limit of this process for good: soft and hard, never above the hard limit it has."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def main():
    """Arguments: the options as JSON, then IPython's own."""
    options = json.loads(sys.argv[1])
    if options["uid"] is not None:  # bubblewrap was started by root, and left us just this right
        os.setgroups([])
        os.setgid(options["uid"])
        os.setuid(options["uid"])
    os.makedirs(os.environ["HOME"], exist_ok=True)
    shutil.copytree(options["files"], options["work"], dirs_exist_ok=True)
    os.chdir(options["work"])
    sys.path.append(options["work"])  # last, so that no file of a student's stands for a library

    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, options["scratch"])
    limit(resource.RLIMIT_NPROC, options["threads"])
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        limit(resource.RLIMIT_DATA, options["memory"])

    IPKernelApp.launch_instance(
        argv=sys.argv[2:],
        kernel_class=Kernel,
        outstream_class="sandboxed_kernel.LimitedStream",
        ignore_cwd=True,
    )
