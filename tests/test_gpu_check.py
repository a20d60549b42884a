"""`make gpu-check`, tested where there is no GPU."""

import json
import subprocess
import sys
import zipfile

import pytest

from benchmarks import float32, gpu
from tests import frameworks, tiny


def test_the_page_that_is_there_is_one_that_was_written():
    text = gpu.PAGE.read_text(encoding="utf-8")
    assert text.startswith(gpu.page(None, {}).partition(gpu.NOTHING)[0])
    assert (gpu.NOTHING.strip() in text) != ("Measured on" in text)


def test_without_a_gpu_nothing_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "find_gpu", lambda: None)
    monkeypatch.setattr(gpu, "run_steps", None)  # is not called
    assert gpu.main([f"--out={tmp_path / 'gpu.md'}"]) == 0
    assert (tmp_path / "gpu.md").read_text() == gpu.page(None, {})
    assert "nothing was measured" in capsys.readouterr().out


def test_steps_cover_what_the_page_promises():
    names = [name for name, *_ in gpu.steps()]
    assert len(names) == len(set(names))
    for framework in gpu.FRAMEWORKS:
        assert all(f"chapter {c}, {framework}" in names for c in gpu.CHAPTERS)
        assert {f"speed, {framework}", f"scaling, {framework}", f"use, {framework}"} <= {*names}
    assert {"parity", "contract", "speed, d2l, PyTorch"} <= {*names}
    assert {*gpu.KINDS} <= {*map(tiny.kind_name, tiny.ALL_KINDS)}


def test_measurements_come_before_chapters_and_within_the_time():
    limits = {name: most for name, _, most in gpu.steps()}
    chapters = [name.startswith("chapter") for name in limits]
    assert chapters == sorted(chapters)
    before = sum(most for name, most in limits.items() if not name.startswith("chapter"))
    assert before <= gpu.SECONDS


def test_parity_is_computed_in_float32(monkeypatch):
    assert gpu.environment(False, True)["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"
    monkeypatch.delenv("JAX_DEFAULT_MATMUL_PRECISION", raising=False)
    assert "JAX_DEFAULT_MATMUL_PRECISION" not in gpu.environment(False, False)
    torch = pytest.importorskip("torch")
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    float32.pytest_configure()
    assert [place.allow_tf32 for place in places] == [False, False]
    for place, allowed in zip(places, before):
        place.allow_tf32 = allowed
    for name, command, _ in gpu.steps():
        assert ("benchmarks.float32" in command) == (name in ("parity", "contract"))


def test_what_is_missing_is_named_before_anything_runs(tmp_path):
    """In a Python that has none of it; a wheel brings one package."""
    with zipfile.ZipFile(tmp_path / "sacrebleu-2.6.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("sacrebleu/__init__.py", "")
    text = (
        f"import sys; sys.path.insert(0, {str(gpu.ROOT / 'benchmarks')!r})\n"
        "import pathlib, gpu_wheels\n"
        f"gpu_wheels.WHEELS = pathlib.Path({str(tmp_path)!r})\n"
        "gpu_wheels.UNPACKED = gpu_wheels.WHEELS / 'unpacked'\n"
        "sys.exit(gpu_wheels.main([]))"
    )
    done = subprocess.run([sys.executable, "-SI", "-c", text], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert all(f" {name}," in line for name in ("torch", "platformdirs", "matplotlib", "tqdm"))
    assert "sacrebleu" not in line and "make gpu-wheels" in line


@pytest.mark.skipif("pytorch" not in map(repr, frameworks.UNDER_TEST), reason="runs PyTorch")
def test_a_step_runs_on_the_cpu(tmp_path):
    out = tmp_path / "gpu.md"
    assert gpu.main(["--cpu", "--only=chapter 02, pytorch", f"--out={out}"]) == 0
    text = out.read_text(encoding="utf-8")
    assert "| chapter 02, pytorch | passed |" in text and "the CPU" in text


def test_every_end_of_a_step_is_said(monkeypatch):
    def step(name, code, most=60):
        return name, [sys.executable, "-c", code], most

    chosen = [
        step("good", "print(1); print('two | three')"),
        step("bad", "raise ValueError('no luck')"),
        step("slow", "import time; time.sleep(60)", 5.5),
    ]
    results = gpu.run_steps(chosen, 100, cpu=True)
    assert [r["ended"] for r in results.values()] == ["passed", "failed", "stopped after 6 s"]
    assert results["bad"]["said"] == "ValueError: no luck"
    assert gpu.run_steps(chosen[:1], 1, True)["good"]["ended"].startswith("not run")
    assert "| good | passed |" in gpu.page("a GPU", results)
    assert "two \\| three" in gpu.page("a GPU", results)


def test_measurements_become_tables():
    long = {f"setting {i}": i / 7 for i in range(50)}  # of more than 300 characters
    said = {
        "speed, d2l, PyTorch": {"seconds": 12.5, "gpu": "a GPU"},
        "speed, jax": {"seconds": 3.25, "loss": 1.0},
        "scaling, jax": {"training": long, "translation": {"beam 1": 1234.5}},
        "use, jax": {"training": {"use": None, "milliseconds": 2.0}},
    }
    results = {
        name: {"ended": "passed", "seconds": 1, "said": json.dumps(found)}
        for name, found in said.items()
    }
    text = gpu.page("a GPU", results)
    assert "| speed | d2l, PyTorch | jax |" in text and "| seconds | 12.5 | 3.25 |" in text
    assert "| loss |  | 1 |" in text
    assert "| training, setting 49 | 7 |" in text and "| translation, beam 1 | 1,234.5 |" in text
    assert "| training, milliseconds | 2 |" in text and "{" not in text
