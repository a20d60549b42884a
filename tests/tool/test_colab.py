"""Colab's variants: what is derived; and their first cell changes nothing that is installed."""

import json
import os
import subprocess
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest

from tabbook import colab, source, split
from tabbook.project import FRAMEWORKS, Project

ROOT = Path(__file__).parents[2]
SITE = "https://github.com/d2l-ext/d2l-ext"
EXERCISE = """
<!-- #region exercise="double" -->
### Exercise: double

Double a number.
<!-- #endregion -->

```python exercise="double" part="solution"
def double(number):
    ### BEGIN SOLUTION
    return 2 * number
    ### END SOLUTION
```

```python exercise="double" part="tests" points=1
assert double(2) == 4
```

```python exercise="double" part="hidden" points=1
assert double(3) == 6
```
"""

# --- What is derived ---------------------------------------------------------


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_variant_is_the_readers_notebook_and_a_cell(executed, framework):
    variant = nbformat.read(executed.project.colab("02_toy", framework), as_version=4)
    nbformat.validate(variant)
    reader = split.stored(executed.project.notebook("02_toy", framework))
    badge, install, *others = variant.cells
    assert reader.cells[0].id == badge.id == "open-in-colab"
    picture = executed.project.home.raw("notebooks/img/open_in_colab.svg")
    shown = reader.cells[0].source.replace("../img/open_in_colab.svg", picture)
    assert badge.source.startswith(f"{shown}\n\n") and picture in shown
    address = f"/d2l-ext/d2l-ext/blob/main/notebooks/colab/{framework}/02_toy.ipynb)"
    assert address in badge.source
    assert (install.id, install.metadata) == ("colab-install", {"cellView": "form"})
    assert [cell.id for cell in others] == [cell.id for cell in reader.cells[1:]]
    code = [cell for cell in others if cell.cell_type == "code"]
    assert [cell.source for cell in code] == [
        cell.source for cell in reader.cells if cell.cell_type == "code"
    ]
    assert not any(cell.outputs or cell.execution_count for cell in [install, *code])
    assert [cell.metadata.get("tags") for cell in code].count(["parameters"]) == 1
    assert len({cell.id for cell in variant.cells}) == len(variant.cells)


def test_folded_code_is_closed_under_its_title(toy):
    toy.write("02_toy", '```python fold="how it is timed"\nx = 1\n```\n')
    code = colab.notebook(toy.project, source.read(toy.project, "02_toy"), "jax").cells[-1]
    assert code.source == "#@title How it is timed\nx = 1"
    assert code.metadata["cellView"] == "form"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_all_but_mxnet_ask_for_a_gpu(executed, framework):
    variant = nbformat.read(executed.project.colab("02_toy", framework), as_version=4)
    if framework == "mxnet":
        assert "accelerator" not in variant.metadata
        assert "gpuType" not in variant.metadata.colab
        assert "wheel for the CPU" in variant.cells[0].source
        assert "Python 3.13" in variant.cells[0].source
    else:
        assert variant.metadata.accelerator == "GPU"
        assert variant.metadata.colab.gpuType == "T4"
        assert "mxnet" not in variant.cells[1].source.lower()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_first_cell_is_one_of_its_framework(framework):
    text = colab.first_cell(Project(ROOT), framework)
    assert text.startswith("# @title ")
    compile(text, "first cell", "exec")
    extras = "book" if framework == "mxnet" else f"{FRAMEWORKS[framework].module},book"
    assert f'"d2l-ext[{extras}] @ {SITE}/archive/refs/heads/main.zip"' in text
    assert not any(word in text for word in ("#:", "EXTRAS", "ARCHIVE", "REPOSITORY"))


def test_solutions_are_folded_and_hidden_tests_absent(toy):
    toy.write("02_toy", EXERCISE)
    chapter = source.read(toy.project, "02_toy")
    cells = colab.notebook(toy.project, chapter, "jax").cells
    folded = [cell.source for cell in cells if cell.metadata.get("cellView") == "form"]
    assert folded[1:] == ["def double(number):\n    return 2 * number"]
    assert not any("double(3)" in cell.source for cell in cells)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "[a](05_x.ipynb#the-loss)",
            "[a](https://colab.research.google.com/github/d2l-ext/d2l-ext/blob/main/notebooks/"
            "colab/jax/05_x.ipynb#the-loss)",
        ),
        (
            "![a](../img/x.svg)",
            "![a](https://raw.githubusercontent.com/d2l-ext/d2l-ext/main/notebooks/img/x.svg"
            "?sanitize=true)",
        ),
        (
            '<img src="../img/x.png" width="9">',
            '<img src="https://raw.githubusercontent.com/d2l-ext/d2l-ext/main/notebooks/img/x.png"'
            ' width="9">',
        ),
        ("[a](../../docs/parity.md#b)", f"[a]({SITE}/blob/main/docs/parity.md#b)"),
        (
            "[a](#here), [b](https://d2l.ai), `h[t](x)`",
            "[a](#here), [b](https://d2l.ai), `h[t](x)`",
        ),
    ],
)
def test_links_lead_to_the_web(toy, written, expected):
    assert colab.relink(toy.project, written, "jax") == expected


def test_address_stands_in_one_place(executed):
    readme = executed.root / "README.md"
    readme.write_text(f"[a]: {executed.project.home.colab('notebooks/colab/jax/02_toy.ipynb')}\n")
    assert executed.run("check").returncode == 0
    settings = executed.root / "pyproject.toml"
    settings.write_text(
        settings.read_text()
        .replace(SITE, "https://github.com/ann/book")
        .replace('branch = "main"', 'branch = "term/2"')
    )
    found = executed.run("check").stderr
    assert "README.md: its links to Colab are not pyproject's; run 'make build'" in found
    name = "notebooks/colab/mxnet/02_toy.ipynb"
    assert f"{name}: not what the chapter gives; run 'make build'" in found
    assert executed.run("build").returncode == 0
    done = executed.run("check")
    assert (done.returncode, done.stderr) == (0, "")  # the outputs are still there, too
    derived = [readme, *executed.project.notebooks.rglob("*.ipynb")]
    assert len(derived) == 9
    for path in derived:
        assert "d2l-ext/d2l-ext" not in path.read_text()
        assert "/ann/book/blob/term/2/notebooks/colab/" in path.read_text()


@pytest.mark.parametrize(
    "written", ['repository = "d2l-ext"', 'repository = "https://github.com/a/b/tree/main"', ""]
)
def test_address_that_is_none(executed, written):
    settings = executed.root / "pyproject.toml"
    settings.write_text(settings.read_text().replace(f'repository = "{SITE}"', written))
    for command in ("check", "build", "colab"):
        done = executed.run(command)
        assert done.returncode == 1
        assert done.stderr.startswith("pyproject.toml: [tool.tabbook] has repository = '")
        assert "https://github.com/owner/name" in done.stderr


def test_check_finds_missing_edited_and_left_over_variants(executed):
    missing = executed.project.colab("02_toy", "jax")
    edited = executed.project.colab("02_toy", "mxnet")
    left = executed.project.colab("07_gone", "jax")
    left.write_bytes(missing.read_bytes())
    missing.unlink()
    edited.write_text(edited.read_text().replace("T4", "L4").replace("CPU", "cpu"))
    assert executed.run("check").stderr.splitlines() == [
        "notebooks/colab/mxnet/02_toy.ipynb: not what the chapter gives; run 'make build'",
        "notebooks/colab/jax/02_toy.ipynb: missing; run 'make build'",
        "notebooks/colab/jax/07_gone.ipynb: no chapter gives this notebook; delete it",
    ]
    done = executed.run("colab", "--framework", "jax")
    assert done.stdout == "notebooks/colab/jax/02_toy.ipynb\n"
    assert executed.run("colab").stdout == "notebooks/colab/mxnet/02_toy.ipynb\n"
    assert executed.run("colab").stdout == ""


# --- What the first cell does ------------------------------------------------


class Runtime:
    """A Python with a few tiny packages of its own, in which first cells run without a network."""

    def __init__(self, root, with_pip):
        self.root = root
        self.wheels = root / "wheels"
        self.wheels.mkdir()
        (root / "bin").mkdir()
        venv.create(root / "env", with_pip=with_pip, symlinks=True)
        self.python = root / "env" / "bin" / "python"
        [self.site] = (root / "env" / "lib").glob("python*/site-packages")

    def wheel(self, name, version, *requires):
        """Write a package that holds nothing, for pip to find."""
        path = self.wheels / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
        files = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
            "Provides-Extra: torch\nProvides-Extra: book\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(path, "w") as archive:
            for each, text in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(each, text)
        return path

    def put(self, name, version):
        """Have a package installed."""
        with zipfile.ZipFile(self.wheel(name, version)) as archive:
            archive.extractall(self.site)

    def fake_pip(self, body):
        """Have a pip that does what `body` says."""
        package = self.site / "pip"
        package.mkdir()
        (package / "__init__.py").touch()
        start = f"import sys\nfrom pathlib import Path\nsite = Path({str(self.site)!r})\n"
        (package / "__main__.py").write_text(start + body)

    def put_gpu(self, name):
        """Have a driver that knows of a GPU."""
        driver = self.root / "bin" / "nvidia-smi"
        driver.write_text(f"#!/bin/sh\necho '{name}, 15360 MiB'\n")
        driver.chmod(0o755)

    def versions(self):
        """What is installed, by the folders that pip writes."""
        folders = (path.name for path in self.site.glob("*.dist-info"))
        return dict(each.removesuffix(".dist-info").split("-", 1) for each in folders)

    def run(self, framework="pytorch", **replace):
        """Run a first cell; the library's archive is the wheel of that name."""
        text = colab.first_cell(Project(ROOT), framework)
        archive = (self.wheels / "d2l_ext-0.1.0-py3-none-any.whl").as_uri()
        for old, new in {Project(ROOT).home.archive: archive, **replace}.items():
            assert old in text
            text = text.replace(old, new)
        keep = {key: os.environ[key] for key in ("LANG", "LC_ALL") if key in os.environ}
        environment = keep | {
            "PATH": str(self.root / "bin"),
            "HOME": str(self.root),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": os.devnull,
        }
        command = [self.python, "-c", text]
        # elsewhere: `python -c` would find what is installed from the folder in which it runs
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=self.root
        )


@pytest.fixture(scope="module")
def with_pip(tmp_path_factory):
    """A runtime like Colab's in small: numpy and torch there, of which newer ones exist."""
    runtime = Runtime(tmp_path_factory.mktemp("runtime"), with_pip=True)
    runtime.put("numpy", "2.0.2")
    runtime.put("torch", "2.11.0+cu128")
    runtime.put("odd", "1.0-1ubuntu0.1")  # as the system's own packages may be
    for version in ("2.5.0", "1.23.5"):
        runtime.wheel("numpy", version)
    runtime.wheel("torch", "2.13.0")
    runtime.wheel("d2l", "1.0.3", "numpy==1.23.5")
    runtime.wheel("sacrebleu", "2.6.0", "numpy")
    return runtime


@pytest.fixture
def without_pip(tmp_path):
    """A runtime without pip, or for a fake one."""
    runtime = Runtime(tmp_path, with_pip=False)
    runtime.put("numpy", "2.0.2")
    return runtime


def rows(done):
    """The table that a first cell prints, as {package: (before, after)}."""
    lines = [line.split() for line in done.stdout.splitlines() if not line.endswith("...")]
    return {line[0]: (line[1], line[2]) for line in lines if len(line) == 3}


def test_first_cell_with_the_real_pip(with_pip):
    """It refuses what would change the runtime; else installs what lacks; then is quick."""
    runtime = with_pip
    runtime.wheel("d2l_ext", "0.1.0", "numpy>=2.1", "torch>=2.11", "sacrebleu")
    before = runtime.versions()
    done = runtime.run()
    assert done.returncode == 1
    assert "RuntimeError: pip could not install what this notebook needs." in done.stderr
    assert "numpy>=2.1" in done.stderr
    assert runtime.versions() == before

    runtime.wheel("d2l_ext", "0.1.0", "numpy>=2.0", "torch>=2.11", "sacrebleu")
    done = runtime.run()
    assert done.returncode == 0, done.stderr
    added = {"d2l_ext": "0.1.0", "d2l": "1.0.3", "sacrebleu": "2.6.0"}
    assert runtime.versions() == before | added
    assert rows(done) == {
        "package": ("before", "after"),
        "numpy": ("2.0.2", "2.0.2"),
        "torch": ("2.11.0+cu128", "2.11.0+cu128"),
        "d2l-ext": ("-", "0.1.0"),
        "d2l": ("-", "1.0.3"),
        "sacrebleu": ("-", "2.6.0"),
    }
    assert "Nothing that was there before has changed.\n" in done.stdout
    assert "There is no GPU here" in done.stdout
    assert "Runtime > Change runtime type > T4 GPU" in done.stdout

    (runtime.wheels / "d2l_ext-0.1.0-py3-none-any.whl").unlink()
    runtime.put_gpu("Tesla T4")
    done = runtime.run()
    assert done.returncode == 0, done.stderr
    assert "Installing" not in done.stdout
    assert done.stdout.endswith("has changed.\nGPU: Tesla T4, 15360 MiB\n")
    assert runtime.versions() == before | added


def test_first_cell_raises_when_something_has_changed(without_pip):
    without_pip.fake_pip(
        "path = site / 'numpy-2.0.2.dist-info' / 'METADATA'\n"
        "path.write_text(path.read_text().replace('2.0.2', '2.5.0'))\n"
    )
    done = without_pip.run()
    assert done.returncode == 1
    assert rows(done)["numpy"] == ("2.0.2", "2.5.0")
    assert "RuntimeError: This has changed what was there before: numpy." in done.stderr
    assert f"{SITE}/issues" in done.stderr
    assert "Nothing that was there" not in done.stdout


def test_first_cell_raises_when_something_is_gone(without_pip):
    without_pip.fake_pip("(site / 'numpy-2.0.2.dist-info' / 'METADATA').unlink(missing_ok=True)")
    done = without_pip.run()
    assert done.returncode == 1
    assert rows(done)["numpy"] == ("2.0.2", "-")
    assert "RuntimeError: This has changed what was there before: numpy." in done.stderr


def test_first_cell_without_pip(without_pip):
    done = without_pip.run()
    assert done.returncode == 1
    assert "RuntimeError: There is no pip here: Runtime > Disconnect" in done.stderr


def test_first_cell_without_a_network(without_pip):
    without_pip.fake_pip(
        "sys.exit('connection broken by NewConnectionError: Temporary failure in name resolution')"
    )
    done = without_pip.run()
    assert done.returncode == 1
    assert "RuntimeError: pip could not reach the network: run this cell again" in done.stderr
    assert "Temporary failure in name resolution" in done.stderr


NOTES = "import json\n(site / 'asked.json').open('a').write(json.dumps(sys.argv[1:]) + '\\n')\n"


def asked(runtime):
    """What a fake pip was asked for, call by call, without the options that all calls have."""
    lines = (runtime.site / "asked.json").read_text().splitlines()
    return [json.loads(line)[3:] for line in lines]


def test_mxnet_comes_without_its_dependencies(without_pip):
    without_pip.fake_pip(NOTES)
    without_pip.put_gpu("Tesla T4")
    done = without_pip.run("mxnet")
    assert done.returncode == 0, done.stderr
    assert "MXNet computes on the CPU here, GPU or not" in done.stdout
    constrained, *alone = asked(without_pip)
    assert constrained[0] == "--constraint"
    assert constrained[2].startswith("d2l-ext[book] @ file:")
    assert constrained[3:] == ["graphviz", "setuptools<80"]
    assert alone == [["--no-deps", "d2l==1.0.3"], ["--no-deps", "mxnet==1.9.1"]]
    for name in ("d2l_ext", "d2l", "mxnet"):  # as another framework's notebook leaves them
        without_pip.put(name, "0.1.0")
    assert without_pip.run("mxnet").returncode == 0
    assert [call[2:] for call in asked(without_pip)[3:]] == [["graphviz", "setuptools<80"]]


def test_mxnet_for_cuda_goes_into_a_folder_of_its_own(without_pip):
    """CUDA 11's libraries would overwrite files of the CUDA 12 that PyTorch and JAX use."""
    folder = without_pip.root / "mxnet-cuda"
    without_pip.fake_pip(
        NOTES + "for package in sys.argv[sys.argv.index('--target') + 2:] "
        "if '--target' in sys.argv else []:\n"
        f"    info = Path({str(folder)!r}, package.replace('-', '_') + '.dist-info')\n"
        "    info.mkdir(parents=True)\n"
        "    name, _, version = package.partition('==')\n"
        "    (info / 'METADATA').write_text(f'Name: {name}\\nVersion: {version}\\n')\n"
    )
    wanted = {"TRY_CUDA = False": "TRY_CUDA = True"}
    done = without_pip.run("mxnet", **wanted)
    assert done.returncode == 0, done.stderr
    assert "There is no GPU to try" in done.stdout
    assert not folder.exists()
    without_pip.put_gpu("Tesla T4")
    done = without_pip.run("mxnet", **wanted)
    assert done.returncode == 0, done.stderr
    assert rows(done)["mxnet-cu112"] == ("-", "1.9.1")
    assert "MXNet for CUDA 11 will try this GPU: Tesla T4, 15360 MiB" in done.stdout
    *_, last = asked(without_pip)
    assert last[:4] == ["--no-deps", "--upgrade", "--target", str(folder)]
    assert "mxnet-cu112==1.9.1" in last
    calls = len(asked(without_pip))
    assert without_pip.run("mxnet", **wanted).returncode == 0
    assert not any("--target" in call for call in asked(without_pip)[calls:])


def test_readable_versions_only_are_constraints(without_pip):
    """pip rejects a whole constraints file for one version that it cannot read."""
    without_pip.put("odd", "1.0-1ubuntu0.1")
    without_pip.put("torch", "2.11.0+cu128")
    without_pip.put("nightly", "3.0.0.dev20260901")
    without_pip.fake_pip(
        "if '--constraint' in sys.argv:\n"
        "    path = Path(sys.argv[sys.argv.index('--constraint') + 1])\n"
        "    (site / 'constraints.txt').write_text(path.read_text())\n"
    )
    assert without_pip.run().returncode == 0
    assert sorted((without_pip.site / "constraints.txt").read_text().splitlines()) == [
        "nightly==3.0.0.dev20260901",
        "numpy==2.0.2",
        "torch==2.11.0+cu128",
    ]
