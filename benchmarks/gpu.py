"""Looks at one GPU for at most eight minutes: is everything right there, and how fast is it?

`make gpu-check` runs PyTorch and JAX (the other two are not asked for), step by step, each step in
a process of its own, and writes docs/gpu.md. It installs nothing and needs no network. Pure wheels
in `build/wheels`, of pytest or d2l say, are imported from there. Without a GPU the page says that
nothing was measured; `--cpu` runs the steps on the CPU, to test them.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks import ROOT, markdown, scaling, speed
from d2l_ext import files, weights

PAGE = ROOT / "docs" / "gpu.md"
WHEELS = ROOT / "build" / "wheels"
SECONDS = 480
FRAMEWORKS = {"pytorch": "torch", "jax": "jax"}
CHAPTERS = ("02", "03", "04", "05", "06", "07", "09")
CONTRACT = ("test_masked_softmax", "test_attention_functions", "test_seq2seq", "test_transformer")


# The steps --------------------------------------------------------------------------------------


def run_chapter(framework, chapter, parameters=None):
    """Run the code cells of a chapter's notebook, one after the other, without Jupyter.

    Args:
        framework: its name.
        chapter: such as "04".
        parameters: dict of values in place of those that the cell of parameters sets.
    """
    import matplotlib

    matplotlib.use("agg")
    (path,) = (ROOT / "notebooks" / framework).glob(f"{chapter}_*.ipynb")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    known = {"__name__": "__main__"}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            try:
                exec(compile(source, f"{path.name}, cell {number}", "exec"), known)
            except Exception:
                if "raises-exception" not in cell["metadata"].get("tags", []):
                    raise
            if "parameters" in cell["metadata"].get("tags", []):
                known |= parameters or {}
    return {}


class Use:
    """How much of the GPU is used while a block runs, in percent; None where nobody can say."""

    def __enter__(self):
        self.seen, self.over = [], threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self):
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while shutil.which("nvidia-smi") and not self.over.wait(0.2):
            done = subprocess.run(query, capture_output=True, text=True)
            with contextlib.suppress(ValueError, IndexError):
                self.seen.append(float(done.stdout.splitlines()[0]))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    @property
    def percent(self):
        return float(np.mean(self.seen)) if self.seen else None


def use_of_gpu(framework):
    """What training and translation use of the GPU, and sentences a second."""
    contestant, found = framework, {}
    step = scaling.training_step(contestant, scaling.BASE)
    translate = scaling.long_translation(contestant)
    for name, function, seconds in (("training", step, 5), ("translation", translate, 5)):
        function()
        with Use() as use:
            start, calls = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                function()
                calls += 1
        found[name] = {
            "use": use.percent,
            "milliseconds": 1e3 * (time.perf_counter() - start) / calls,
        }
    return found


def bfloat16(framework):
    """Loss of one batch, its forward pass in float32 and in bfloat16, from the same weights."""
    d2l = speed.library(framework)
    config = scaling.configuration(scaling.BASE["width"])
    model, batch = d2l.new_model(config), scaling.random_batch(20, 128)
    drawn = weights.draw(config, 0)
    d2l.set_weights(model, drawn)
    single = float(model.make_steps(lambda step: 0.0, 1.0).evaluate(batch))
    if framework == "pytorch":
        import torch

        with torch.autocast(str(d2l.device().type), torch.bfloat16):
            half = float(model.make_steps(lambda step: 0.0, 1.0).evaluate(batch))
    else:  # weights rounded; JAX has no autocast
        import jax.numpy as jnp

        rounded = {n: np.array(jnp.asarray(a, "bfloat16"), "float32") for n, a in drawn.items()}
        d2l.set_weights(model, rounded)
        half = float(model.make_steps(lambda step: 0.0, 1.0).evaluate(batch))
    return {"float32": single, "bfloat16": half}


def steps():
    """Name of each step, its command, and the most seconds that it may take."""
    python = [sys.executable, "-m"]
    tests = [f"tests/{name}.py" for name in CONTRACT]
    yield "parity", [*python, "pytest", "-q", "tests/test_parity.py", "-k", "compute_the_same"], 90
    yield "contract", [*python, "pytest", "-q", *tests], 90
    for framework in FRAMEWORKS:
        for chapter in CHAPTERS:
            own = ["--step", "chapter", framework, chapter]
            yield f"chapter {chapter}, {framework}", [*python, "benchmarks.gpu", *own], 60
    for contestant in (speed.D2L, *FRAMEWORKS, speed.MIXED):
        yield f"speed, {contestant}", [*python, "benchmarks.speed", "--worker", contestant], 60
    for contestant in (speed.D2L, *FRAMEWORKS):
        yield f"scaling, {contestant}", [*python, "benchmarks.scaling", "--worker", contestant], 60
    for framework in FRAMEWORKS:
        for what in ("use", "bfloat16"):
            yield (
                f"{what}, {framework}",
                [*python, "benchmarks.gpu", "--step", what, framework],
                60,
            )


# The page ---------------------------------------------------------------------------------------


def environment(cpu):
    """The variables of a step's process."""
    wheels = sorted(map(str, WHEELS.glob("*.whl")))
    path = os.pathsep.join([str(ROOT), *wheels, *filter(None, [os.environ.get("PYTHONPATH")])])
    device = "cpu" if cpu else "gpu"
    return os.environ | {
        "PYTHONPATH": path,
        "FRAMEWORK": ",".join(FRAMEWORKS),
        "D2L_EXT_DEVICE": device,
    }


def run_steps(chosen, seconds, cpu):
    """What became of each step: how it ended, its seconds, and the last line that it printed."""
    deadline, results = time.monotonic() + seconds, {}
    for name, command, most in chosen:
        left = min(most, deadline - time.monotonic())
        if left < 5:
            results[name] = {"ended": "not run: no time was left", "seconds": 0, "said": ""}
            continue
        start = time.monotonic()
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment(cpu),
                capture_output=True,
                text=True,
                timeout=left,
            )
            said = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip()
            ended = "passed" if done.returncode == 0 else "failed"
        except subprocess.TimeoutExpired:
            said, ended = "", f"stopped after {left:.0f} s"
        said = said.splitlines()[-1] if said else ""
        results[name] = {"ended": ended, "seconds": time.monotonic() - start, "said": said}
        print(f"{name}: {ended}, {results[name]['seconds']:.1f} s", flush=True)
    return results


PAGE_TEXT = """\
# On a GPU

Written by `make gpu-check`; not edited by hand. On one GPU, in at most eight minutes, it compares
PyTorch, JAX and the float64 reference, runs the contract tests and the chapters 02 to 07 and 09 in
both tabs, measures speed and scaling with d2l's PyTorch beside, and how much of the GPU training
and translation use. It installs nothing; pure wheels in `build/wheels` are used.

{found}
"""
NOTHING = """\
**Nothing was measured**: no GPU was to be had. The command is tested on the CPU.
"""


def page(gpu, results):
    """The page; `gpu` is None where there is none."""
    if gpu is None:
        return PAGE_TEXT.format(found=NOTHING).rstrip("\n") + "\n"
    rows = [["step", "how it ended", "seconds", "what it said last"]]
    for name, result in results.items():
        said = result["said"].replace("|", "\\|")[:300]
        rows.append([name, result["ended"], f"{result['seconds']:.1f}", said])
    return PAGE_TEXT.format(found=f"{markdown(rows)}\n\nMeasured on {gpu}.").rstrip("\n") + "\n"


def find_gpu():
    """The first GPU's name, or None."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="run the steps on the CPU")
    parser.add_argument("--only", default="", help="run the steps whose name contains this")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        kind, *names = options.step
        functions = {"chapter": run_chapter, "use": use_of_gpu, "bfloat16": bfloat16}
        print(json.dumps(functions[kind](*names)))
        return 0
    gpu = "the CPU, to test the command" if options.cpu else find_gpu()
    results = {}
    if gpu is not None:
        chosen = [step for step in steps() if options.only in step[0]]
        results = run_steps(chosen, SECONDS, options.cpu)
    files.write_whole(options.out, page(gpu, results).encode())
    if gpu is None:
        print(f"no GPU was found: nothing was measured, and {options.out} says so")
    return int(any(result["ended"] == "failed" for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
