"""Tests the committed state on the newer Pythons that it is meant for, each in a clone of its own.

For Python 3.12 and 3.13, where the machine has them: clone the repository into build/python3.12,
let its Makefile install everything there, run the tests of the tool and of the set-up (all
frameworks, d2l's modules and ours are imported), and run chapter 02 in every framework. The clones
stay, so that a second run is quick. It is a target of its own, outside `make test`, because pip
brings several GB of CUDA libraries with PyTorch.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.12", "3.13")
TESTS = "tests/tool tests/test_compat.py tests/test_environment.py tests/test_frameworks.py"
STEPS = {
    "install": ["install"],
    "tests": ["test-code", f"TESTS={TESTS}"],
    "chapter 02": ["run", "CHAPTER=02"],
}


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


def check(version):
    """Install, test and run with one version of Python.

    Returns:
        A row of the table: one text for the version and one for each of the `STEPS`.
    """
    python = find_python(version)
    if python is None:
        return [version, *["not found"] * len(STEPS)]
    folder = ROOT / "build" / f"python{version}"
    clone(folder)
    row = [version]
    for name, arguments in STEPS.items():
        print(f"== Python {version}: {name}", flush=True)
        started = time.monotonic()
        done = subprocess.run(["make", "-C", str(folder), f"PYTHON={python}", *arguments])
        result = "failed" if done.returncode else "ok"
        row.append(f"{result}, {time.monotonic() - started:.0f} s")
    size = subprocess.run(
        ["du", "-sm", str(folder / ".venv")], capture_output=True, text=True, check=True
    )
    row[1] += f", {int(size.stdout.split()[0]) / 1000:.1f} GB"
    return row


def main():
    """Print a row for each version; the exit status is 0 if all steps passed for all of them."""
    rows = [check(version) for version in VERSIONS]
    print()
    for row in [["Python", *STEPS], *rows]:
        print("  ".join(cell.ljust(18) for cell in row).rstrip())
    return 0 if all(cell.startswith("ok") for row in rows for cell in row[1:]) else 1


if __name__ == "__main__":
    sys.exit(main())
