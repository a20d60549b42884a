"""Runs the notebooks for Google Colab as Colab would, and writes docs/colab.md's table.

There are two environments, with the versions of Colab's runtimes (requirements/colab.txt). In each
and for each framework: take away what an earlier run has added, then run the notebooks, each in a
kernel of the environment and in an empty folder. Their first cell installs from a copy of this
repository's HEAD, which a server on this machine hands out: only the address in it is replaced.
Then pip is asked whether all that was there before has its version still. The two environments
take 15 GB, since pip brings several GB of CUDA libraries with PyTorch; so this is no part of
`make test`. They stay in build/colab-check, and a second run is quicker.
"""

import argparse
import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from benchmarks import markdown
from tabbook.project import FRAMEWORKS, Project, write
from tests.check_versions import find_python
from tests.processes import ROOT

BUILD = ROOT / "build" / "colab-check"
RESULTS = ROOT / "tests" / "colab_check.json"
PAGE = ROOT / "docs" / "colab.md"
REGION = re.compile(r"(?<=<!-- written by make colab-check -->\n).*?(?=<!-- end -->)", re.DOTALL)
CELL_SECONDS = 3600
UNCHANGED = "Nothing that was there before has changed."

# What a runtime has otherwise than requirements/colab.txt says. Its versions are those of August
# 2026; notebooks can still ask for July's.
ENVIRONMENTS = {
    "3.13": {},
    "3.12": {"numpy": "2.0.2"},
}


def pins(version):
    """The packages of the runtime with that Python, as {name: version}."""
    lines = (ROOT / "requirements" / "colab.txt").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return found | ENVIRONMENTS[version]


def installed(python):
    """What pip says is installed beside an interpreter, as {name: version}."""
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {package["name"]: package["version"] for package in json.loads(listed)}


def prepare(version):
    """Make the environment of a runtime, unless it is there.

    Returns:
        Its interpreter, and what it holds as {name: version}.

    Raises:
        RuntimeError: there is no such Python.
    """
    folder = BUILD / f"python{version}"
    python = folder / "bin" / "python"
    wanted = "".join(f"{name}=={pin}\n" for name, pin in pins(version).items())
    listed, stamp = folder / "requirements.txt", folder / "installed.json"
    if not stamp.is_file() or listed.read_text() != wanted:
        base = find_python(version)
        if base is None:
            raise RuntimeError(f"no Python {version} here: install it, or put it on the PATH")
        print(f"== Python {version}: making {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", folder], check=True)
        listed.write_text(wanted)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", listed], check=True)
        stamp.write_text(json.dumps(installed(python)))
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"Colab, Python {version}",
        "language": "python",
    }
    write(BUILD / "kernels" / f"python{version}" / "kernel.json", json.dumps(spec))
    return python, json.loads(stamp.read_text())


def restore(python, before):
    """Take away what was added to an environment. Raises RuntimeError if more has changed."""
    added = installed(python).keys() - before.keys()
    if added:
        command = [python, "-m", "pip", "uninstall", "--quiet", "--yes", *added]
        subprocess.run(command, check=True)
    if changes(python, before):
        raise RuntimeError(f"{python} has changed: delete its folder and run this again")


def changes(python, before):
    """Packages whose version is not what it was `before`, as text."""
    now = installed(python)
    return [
        f"{name} {version} -> {now.get(name, 'gone')}"
        for name, version in before.items()
        if now.get(name) != version
    ]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder):
    """Serve the repository's HEAD as a zip file, as GitHub does; gives its address."""
    command = ["git", "archive", "--prefix=main/", "-o", folder / "main.zip", "HEAD"]
    subprocess.run(command, cwd=ROOT, check=True)
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/main.zip"
    finally:
        server.shutdown()
        server.server_close()


def run(version, path, archive, address):
    """Run a notebook in the environment.

    Args:
        path: the notebook.
        archive: the address from which its first cell installs the library.
        address: what to put in its place.

    Returns:
        {"seconds": of the whole notebook, "install": of its first cell, "error": "" or why}.
    """
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source.count(archive) == 1, f"{path}: first cell without {archive}"
    first.source = first.source.replace(archive, address)
    times = {}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name=f"python{version}",
            resources={"metadata": {"path": folder}},
            on_cell_executed=lambda cell, **_: times.setdefault(cell.id, time.monotonic()),
        )
        own = {"PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL", "VIRTUAL_ENV"}  # a runtime has none of ours
        environment = {name: value for name, value in os.environ.items() if name not in own}
        started, error = time.monotonic(), ""
        try:
            client.execute(env=environment, stderr=log)
        except (CellExecutionError, CellTimeoutError) as failure:
            error = str(failure)
        except DeadKernelError as failure:
            log.seek(0)
            error = f"{failure}\n{log.read()}"
    printed = "".join(output.get("text", "") for output in first.outputs)
    if not error and UNCHANGED not in printed:
        error = f"the first cell does not say '{UNCHANGED}':\n{printed}"
    return {
        "seconds": round(time.monotonic() - started, 1),
        "install": round(times.get(first.id, started) - started, 1),
        "error": error,
    }


def check(project, version, framework, chapters, address):
    """Run chapters in one framework and one environment.

    Returns:
        {"chapters": {name: as `run`}, "added": what the first cell installed, as {name: version},
        "changed": what was there before and has changed}.
    """
    python, before = prepare(version)
    restore(python, before)
    done = {}
    for chapter in chapters:
        path = project.colab(chapter, framework)
        fresh = not done  # nothing is installed yet
        done[chapter] = run(version, path, project.home.archive, address) | {"fresh": fresh}
        seconds, error = done[chapter]["seconds"], done[chapter]["error"]
        result = f"FAILED\n{error}" if error else "ok"
        print(f"{version} {framework} {chapter}: {seconds} s {result}", flush=True)
    now = installed(python)
    added = {name: now[name] for name in sorted(now.keys() - before.keys())}
    changed = changes(python, before)
    restore(python, before)
    return {"chapters": done, "added": added, "changed": changed}


def table(results):
    """The tables of docs/colab.md, in Markdown."""
    parts = []
    for version, found in results.items():
        frameworks = [name for name in FRAMEWORKS if name in found]
        runs = [found[name]["chapters"] for name in frameworks]
        rows = [[f"Python {version}", *(FRAMEWORKS[name].label for name in frameworks)]]
        for chapter in sorted(set().union(*runs)):
            rows.append([chapter, *(_result(run.get(chapter)) for run in runs)])
        for heading, fresh in (("first cell installs", True), ("first cell again", False)):
            seconds = [[one["install"] for one in _of(run, fresh)] for run in runs]
            rows.append([heading, *(f"{max(some):.0f} s" if some else "-" for some in seconds)])
        for heading, key in (("packages added", "added"), ("packages changed", "changed")):
            rows.append([heading, *(", ".join(found[name][key]) or "none" for name in frameworks)])
        parts.append(markdown(rows) + "\n")
    return "\n".join(parts)


def _result(one):
    """What `run` gave, in a word."""
    if one is None:
        return "not run"
    return "FAILED" if one["error"] else f"ok, {one['seconds']:.0f} s"


def _of(run, fresh):
    """The chapters whose first cell had to install, or those whose had not."""
    return [one for one in run.values() if one["fresh"] == fresh]


def keep(version, framework, found):
    """Add to the figures and to the page what `check` found.

    The figures are read just before: a run in the other environment may have added its own.

    Returns:
        All figures.
    """
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    known = results.setdefault(version, {}).get(framework, {}).get("chapters", {})
    found["chapters"] = dict(sorted((known | found["chapters"]).items()))
    results[version][framework] = found
    write(RESULTS, json.dumps(results, indent=1) + "\n")
    text = PAGE.read_text(encoding="utf-8")
    write(PAGE, REGION.sub(lambda _: table(results), text))
    return results


def main():
    """Run what is asked for, keep the figures; the status is 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", choices=ENVIRONMENTS, help="only this one")
    parser.add_argument("--framework", action="append", choices=FRAMEWORKS, help="only this one")
    parser.add_argument("--chapter", action="append", default=[], metavar="NN")
    options = parser.parse_args()
    project = Project(ROOT)
    os.environ["JUPYTER_PATH"] = str(BUILD)  # where the kernels are described
    well = True
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address:
        for version in options.python or ENVIRONMENTS:
            for framework in options.framework or FRAMEWORKS:
                chapters = project.chapters(options.chapter)
                found = check(project, version, framework, chapters, address)
                errors = [chapter["error"] for chapter in found["chapters"].values()]
                well &= not any(errors) and not found["changed"]
                results = keep(version, framework, found)
    print(table(results))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
