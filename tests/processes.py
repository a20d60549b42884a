"""Runs Python in fresh processes, for tests of what an import does and leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Put before a test's code: hide("jax") makes jax look as if it were not installed.
HIDE = """
import sys

def hide(*hidden):
    class Others:
        finders = list(sys.meta_path)

        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in hidden:
                return None
            found = (finder.find_spec(name, path, target) for finder in self.finders)
            return next((spec for spec in found if spec), None)

        def find_distributions(self, context):
            for finder in self.finders:
                if hasattr(finder, "find_distributions"):
                    yield from finder.find_distributions(context)

    sys.meta_path[:] = [Others()]
"""


def python(code, *options, path=None, timeout=300):
    """Run code in a new Python process, in the project's folder.

    Args:
        code: what to run; `hide` (see above) is defined.
        options: of the interpreter, such as "-Werror".
        path: a folder to look for modules in first, or None.
        timeout: seconds after which to give up.

    Returns:
        The completed process, with `stdout` and `stderr` as text.
    """
    environment = dict(os.environ)
    if path:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *options, "-c", HIDE + code]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
    )


def output_of(code, *options, path=None, timeout=300):
    """Run code as `python` does, expect it to succeed, and return its stripped stdout."""
    done = python(code, *options, path=path, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
