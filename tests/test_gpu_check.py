"""`make gpu-check`, tested where there is no GPU."""

import sys

import pytest

from benchmarks import gpu
from tests import frameworks


def test_the_page_that_is_there_is_one_that_was_written():
    text = gpu.PAGE.read_text(encoding="utf-8")
    assert text.startswith(gpu.PAGE_TEXT.partition("{")[0])
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
