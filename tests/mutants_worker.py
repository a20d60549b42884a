"""Runs tests again and again in one process, each time with the code as it is then.

tests/mutants.py starts it in a copy of the project, since to import a framework takes longer than
most of its tests. It takes a line of JSON for each run, [module, test files and options], answers
with pytest's exit status, and leaves pytest's words in output.txt.
"""

import json
import os
import sys
from pathlib import Path


def forget(names):
    """Let the next import read modules of `d2l_ext`, and the tests, again."""
    for name in names:
        module = sys.modules.pop(f"d2l_ext.{name}", None)
        if module:  # two mutants within a second would look alike to its bytecode
            Path(module.__spec__.cached).unlink(missing_ok=True)
            delattr(sys.modules["d2l_ext"], name)
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]


def main():
    """Answer until standard input ends."""
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    output = os.open("output.txt", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.path[0] = os.getcwd()
    import pytest

    for line in orders:
        os.ftruncate(output, 0)
        module, *arguments = json.loads(line)
        forget((module, "common"))
        status = pytest.main(arguments)
        sys.stdout.flush()
        print(int(status), file=answers, flush=True)


if __name__ == "__main__":
    main()
