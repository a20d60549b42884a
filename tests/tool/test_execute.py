"""Executing: what is written and when, what a failure and an interrupt leave behind."""

import json
import os
import re
import signal
import time

import nbformat
import pytest
from conftest import EXERCISE

from tabbook import execute
from tabbook.__main__ import _parameter
from tabbook.source import read


def outputs(path) -> list[str]:
    """The text that each code cell of a notebook has printed."""
    notebook = nbformat.read(path, as_version=4)
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_committed_notebooks_hold_outputs_and_nothing_of_the_machine(executed):
    path = executed.project.notebook("02_toy", "jax")
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5, 6]
    assert outputs(path) == ["", "", "1.414\n", "", "", "grammar 0.0\n"]
    assert code[3].outputs[0].data == {"text/plain": "'jax'"}
    assert "version" not in notebook.metadata.language_info
    assert all(cell.metadata.keys() <= {"tags"} for cell in code)
    seconds = notebook.metadata.tabbook.pop("seconds")
    assert notebook.metadata.tabbook == {"framework": "jax", "source": "02_toy.md"}
    assert not list(executed.project.root.rglob("*.tmp"))
    timings = json.loads((executed.root / "build" / "timings.json").read_text())
    assert timings.keys() == {"pytorch", "mxnet", "jax", "tensorflow"}
    assert timings["jax"]["02_toy"] == seconds > 0


def test_executing_again_changes_the_seconds_and_one_framework_needs_no_other(executed):
    def files():
        timed = re.compile(rb'  +"seconds": [\d.]+,\n')
        return {name: timed.sub(b"", data, count=1) for name, data in executed.files().items()}

    before = files()
    done = executed.run("execute", "--framework", "jax")
    assert done.returncode == 0
    assert "mxnet" not in done.stdout
    after = files()
    assert {name for name in after if before[name] != after[name]} <= {"build/timings.json"}


def test_a_failing_solution_is_found_in_the_source(toy):
    failing = "return 2 * x\n    ### END SOLUTION\n\n\ndouble(nothing)"
    body = EXERCISE.replace("return 2 * x\n    ### END SOLUTION", failing)
    path = toy.write("02_error", body)
    line = path.read_text().splitlines().index("double(nothing)") + 1
    done = toy.run("execute", "--framework", "jax", "--out", "out")
    assert done.returncode == 1
    assert f"notebooks/02_error.md, cell 6 (line {line}), jax:\n" in done.stdout


def test_failures_are_told_and_stop_nobody_else(toy):
    cells = "# Toy\n\n```python\nx = 1\n```\n\n```python\nprint('so far')\n{}\n```\n"
    toy.write("02_error", cells.format("def f():\n    return x / 0\n\n\nf()"))
    toy.write("03_exit", cells.format("import os\n\nos._exit(1)"))
    toy.write("04_slow", cells.format("while True:\n    pass"))
    toy.write("05_good", cells.format("x"))
    assert toy.run("build").returncode == 0
    before = toy.files()
    out = toy.root / "out" / "jax"
    tab = ["execute", "--framework", "jax", "--timeout", "2"]
    done = toy.run(*tab, "--out", "out")
    assert done.returncode == 1
    assert "notebooks/02_error.md, cell 7 (line 40), jax:\n" in done.stdout
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "the kernel died in code cell 3: " in done.stdout
    assert "code cell 3 ran longer than 2 s; see --timeout" in done.stdout
    *rows, last = done.stdout.splitlines()[-5:]
    assert [row.split()[0::3] for row in rows] == [
        ["02_error", "FAILED"],
        ["03_exit", "FAILED"],
        ["04_slow", "FAILED"],
        ["05_good", "ok"],
    ]
    assert last == "1 of 4 notebooks ok"
    assert outputs(out / "05_good.ipynb")[-1] == "so far\n"
    assert "seconds" not in nbformat.read(out / "05_good.ipynb", as_version=4).metadata.tabbook
    failed = nbformat.read(out / "02_error.ipynb", as_version=4).cells[-1].outputs
    assert [output.output_type for output in failed] == ["stream", "error"]

    done = toy.run(*tab, "--chapter", "02", "--chapter", "05")
    assert done.returncode == 1
    after = toy.files()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"notebooks/jax/05_good.ipynb"}


def test_parameters(executed):
    path = executed.project.source("02_toy")
    path.write_text(path.read_text().replace('CORPUS = "grammar"', 'CORPUS = "grammar"\nN = 1'))
    path.write_text(path.read_text().replace("print(CORPUS,", "print(repr(CORPUS), N + 1,"))
    before = executed.files()
    values = ["--parameter", "CORPUS=pyproject.toml", "--parameter", "N=3"]
    narrow = ["execute", "--framework", "jax", "--out", "out"]
    assert executed.run(*narrow, *values).returncode == 0
    written = executed.root / "out" / "jax" / "02_toy.ipynb"
    file = executed.root / "pyproject.toml"
    assert outputs(written)[-1] == f"{str(file)!r} 4 0.0\n"
    cells = nbformat.read(written, as_version=4).cells
    injected = [
        i for i, c in enumerate(cells) if "injected-parameters" in c.metadata.get("tags", [])
    ]
    assert [cells[i - 1].metadata.get("tags") for i in injected] == [["parameters"]]
    assert cells[injected[0]].source == f"CORPUS = {str(file)!r}\nN = 3"
    after = executed.files()
    assert {name for name in before if before[name] != after[name]} == set()


def test_a_parameter_may_be_a_folder_or_empty(tmp_path, monkeypatch):
    (tmp_path / "texts").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _parameter("CORPUS=texts") == ("CORPUS", str(tmp_path / "texts"))
    assert _parameter("CORPUS=text") == ("CORPUS", "text")
    assert _parameter("CORPUS=") == ("CORPUS", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--parameter", "CORPUS=a"],
            "--parameter needs --out: the committed notebooks hold the defaults",
        ),
        (
            ["--parameter", "OTHER=a", "--out", "out"],
            "no chosen chapter has a parameter 'OTHER' (cell tagged parameters)",
        ),
        (["--parameter", "CORPUS", "--out", "out"], "--parameter 'CORPUS' is not NAME=VALUE"),
    ],
)
def test_bad_parameters(executed, arguments, message):
    done = executed.run("execute", *arguments)
    assert (done.returncode, done.stderr) == (1, message + "\n")


def test_bad_option(toy, capsys):
    with pytest.raises(SystemExit):
        toy.run("execute", "--jobs", "0")
    with pytest.raises(SystemExit):
        toy.run("execute", "--framework", "torch")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_every_file_as_it_was(executed, number):
    marker = executed.root.parent / f"pid-{number}"
    path = executed.project.source("02_toy")
    path.write_text(
        path.read_text()
        + "\n```python\nimport os\nimport pathlib\nimport time\n\n"
        + f"pathlib.Path({str(marker)!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n```\n"
    )
    toy_quick = "# Quick\n\n```python\nprint(1)\n```\n"
    executed.write("01_quick", toy_quick)
    executed.write("03_waiting", toy_quick)  # still in the queue at the interrupt
    before = executed.files()
    process = executed.start("execute", "--framework", "jax", "--jobs", "1")
    for line in process.stdout:
        if line.startswith("01_quick"):  # done, and not written yet
            break
    deadline = time.monotonic() + 60
    while not (marker.exists() and marker.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    kernel = int(marker.read_text())
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    assert err == "interrupted\n"
    assert "stopping the kernels; every file stays as it was\n" in out
    assert executed.files() == before
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


def test_threads_do_not_fight(monkeypatch, tmp_path):
    monkeypatch.setattr(execute, "cores", lambda: 8)
    for parallel, threads in [(1, "8"), (2, "4"), (3, "2"), (16, "1")]:
        environment = execute.kernel_environment(tmp_path, parallel)
        counts = {name: value for name, value in environment.items() if "THREADS" in name}
        assert set(counts.values()) == {threads} == {environment["NPROC"]}
        assert len(counts) == 5


def test_kernels_find_the_repository_and_a_fixed_hash_seed(toy):
    toy.write(
        "02_toy",
        "```python\nimport os\n\nimport d2l_ext\n\n"
        "print(os.environ['PYTHONHASHSEED'], os.environ['TF_CPP_MIN_LOG_LEVEL'])\n"
        "print(d2l_ext.__file__)\nprint(os.getcwd())\n```\n",
    )
    toy.run("build")
    assert toy.run("execute", "--framework", "jax", "--out", "out").returncode == 0
    assert outputs(toy.root / "out" / "jax" / "02_toy.ipynb")[-1].splitlines() == [
        "0 3",
        str(toy.root / "d2l_ext" / "__init__.py"),
        str(toy.root / "out" / "jax"),
    ]


def test_progress_names_chapter_framework_cell_and_time(toy):
    toy.write("02_toy", "# Toy\n")
    chapter = read(toy.project, "02_toy")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x") for _ in range(12)])
    run = execute.Run(chapter, "jax", toy.root / "a.ipynb", notebook, cell=3, seconds=61.23)
    assert run.progress().split() == ["02_toy", "jax", "cell", "3/12", "61.2", "s"]
