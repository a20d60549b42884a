"""Tests the committed state on the other Pythons and package versions that it is meant for.

Three environments, each in a clone of its own under build/: Python 3.12 and 3.13 with the pins,
and Python 3.13 with the versions of a hosted notebook (requirements/colab.txt). In each, install
everything, run tests (all frameworks, d2l's modules and ours are imported), and run chapter 02 in
every framework. The clones stay, so that a second run is quick. It is a target of its own, outside
`make test`, because pip brings several GB of CUDA libraries with each PyTorch.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What is run in a clone, by the shell, and under which heading of the table it stands.
WITH_PINS = {
    "install": "make install PYTHON={python}",
    "tests": "make test-code TESTS='tests/tool tests/test_compat.py tests/test_environment.py"
    " tests/test_frameworks.py'",
    "chapter 02": "make run CHAPTER=02",
}
AS_ON_COLAB = {
    "install": "{python} -m venv .venv && .venv/bin/pip install -r requirements/colab.txt"
    " && .venv/bin/pip install sacrebleu jupytext nbclient pytest pytest-xdist hypothesis"
    " && .venv/bin/pip install --no-deps -r requirements/no-deps.txt"
    " -r requirements/mxnet-no-deps.txt -e .",
    "tests": ".venv/bin/python -m pytest -n 2 --dist loadfile tests"
    " --ignore tests/tool --ignore tests/test_environment.py",
    "chapter 02": ".venv/bin/python -m tabbook execute --out build/run --chapter 02",
}
ENVIRONMENTS = [
    ("python3.12", "3.12", WITH_PINS),
    ("python3.13", "3.13", WITH_PINS),
    ("colab", "3.13", AS_ON_COLAB),
]


def find_python(version):
    """Find an interpreter on the path or among pyenv's.

    Args:
        version: such as "3.12".

    Returns:
        Its path, or None.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")]
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for python in filter(None, candidates):
        # pyenv puts a python3.12 on the path that fails unless 3.12 is chosen: ask.
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return str(python)
    return None


def clone(folder):
    """Bring a clone of this repository's HEAD up to date, its .venv left as it is."""
    if not (folder / ".git").is_dir():
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    git = ["git", "-C", str(folder)]
    subprocess.run([*git, "fetch", "-q", str(ROOT), "HEAD"], check=True)
    subprocess.run([*git, "checkout", "-q", "--force", "FETCH_HEAD"], check=True)


def check(name, version, steps):
    """Run the steps in one environment, each whether or not the one before has passed.

    Args:
        name: of its folder in build/.
        version: of Python.
        steps: {heading: shell command}.

    Returns:
        A row of the table: the name, a result for each step, the size of .venv.
    """
    python = find_python(version)
    if python is None:
        return [name, *["no such Python"] * len(steps), "-"]
    folder = ROOT / "build" / name
    clone(folder)
    row = [name]
    for heading, command in steps.items():
        print(f"== {name}: {heading}", flush=True)
        started = time.monotonic()
        done = subprocess.run(command.format(python=python), shell=True, cwd=folder)
        result = "failed" if done.returncode else "ok"
        row.append(f"{result}, {time.monotonic() - started:.0f} s")
    size = subprocess.run(["du", "-sk", folder / ".venv"], capture_output=True, text=True)
    return [*row, f"{int(size.stdout.split()[0]) / 1e6:.1f} GB"]


def main():
    """Print a row for each environment; the status is 0 if all steps passed in all of them."""
    rows = [check(*environment) for environment in ENVIRONMENTS]
    print()
    for row in [["environment", *WITH_PINS, ".venv"], *rows]:
        print("  ".join(cell.ljust(14) for cell in row).rstrip())
    return 0 if all(cell.startswith("ok") for row in rows for cell in row[1:-1]) else 1


if __name__ == "__main__":
    sys.exit(main())
