"""Looks at one GPU for at most eight minutes: is everything right there, and how fast is it?

`make gpu-check` runs PyTorch and JAX (the other two are not asked for), step by step, each step in
a process of its own, and writes docs/gpu.md. It installs nothing and needs no network: what is not
installed is imported from the wheels in `build/wheels`, see benchmarks/gpu_wheels.py. Without a
GPU the page says that nothing was measured; `--cpu` runs the steps on the CPU, to test them.
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

from benchmarks import ROOT, gpu_wheels, markdown, scaling, speed
from d2l_ext import files, weights

PAGE = ROOT / "docs" / "gpu.md"
SECONDS = 480
FRAMEWORKS = {"pytorch": "torch", "jax": "jax"}
CHAPTERS = ("02", "03", "04", "05", "06", "07", "09")
KINDS = (  # for parity, as `tests.tiny.kind_name` calls them
    "plain-1-one-way",
    "attention-1-two-way",
    "attention-2-two-way",
    "general-2-two-way",
    "transformer-2-two-way",
)
PARITY_STEPS = 10
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
    """Loss of one batch, its forward pass in float32 and in bfloat16, from the same weights.

    PyTorch's autocast chooses what is computed in bfloat16. JAX has none: here its products are,
    on a GPU; on the CPU XLA takes no notice of what is asked for.
    """
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
    else:
        import jax

        with jax.default_matmul_precision("BF16_BF16_F32"):  # products; sums are float32
            half = float(model.make_steps(lambda step: 0.0, 1.0).evaluate(batch))
    return {"float32": single, "bfloat16": half}


def steps():
    """Name of each step, its command, and the most seconds that it may take.

    The chapters come last, and have what time is left; the limits of all before are within it.
    """
    python = [sys.executable, "-m"]
    pytest = [*python, "pytest", "-q", "-p", "benchmarks.float32"]
    kinds = " or ".join(KINDS)
    tests = [f"tests/{name}.py" for name in CONTRACT]
    chosen = f"compute_the_same and ({kinds})"
    yield "parity", [*pytest, "tests/test_parity.py", "-k", chosen], 80
    yield "contract", [*pytest, *tests], 60
    for contestant in (speed.D2L, *FRAMEWORKS, speed.MIXED):
        yield f"speed, {contestant}", [*python, "benchmarks.speed", "--worker", contestant], 35
    for contestant in (speed.D2L, *FRAMEWORKS):
        yield f"scaling, {contestant}", [*python, "benchmarks.scaling", "--worker", contestant], 40
    for what, most in (("use", 25), ("bfloat16", 15)):
        for framework in FRAMEWORKS:
            command = [*python, "benchmarks.gpu", "--step", what, framework]
            yield f"{what}, {framework}", command, most
    for chapter in CHAPTERS:
        for framework in FRAMEWORKS:
            own = ["--step", "chapter", framework, chapter]
            yield f"chapter {chapter}, {framework}", [*python, "benchmarks.gpu", *own], 60


# The page ---------------------------------------------------------------------------------------


def environment(cpu, exact):
    """The variables of a step's process; `exact` lets JAX multiply in float32 itself."""
    variables = {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, gpu_wheels.UNPACKED))),
        "FRAMEWORK": ",".join(FRAMEWORKS),
        "D2L_EXT_DEVICE": "cpu" if cpu else "gpu",
        "PARITY_STEPS": str(PARITY_STEPS),
    }
    if exact:
        variables["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
    return os.environ | variables


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
                env=environment(cpu, exact="pytest" in command),
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
PyTorch, JAX and the float64 reference ({kinds} kinds of models, {steps} steps of training) and
runs the contract tests, both with products in float32 itself, without TF32. It measures speed and
scaling with d2l's PyTorch beside, how much of the GPU training and translation use, and what
bfloat16 does to a loss, all at each framework's own default precision. In the time that is left it
runs the chapters 02 to 07 and 09 in both tabs. It installs nothing: what is missing beside torch,
jax and flax it takes from `build/wheels`, which `make gpu-wheels` fills where there is a network.

{found}
"""
UNITS = {
    "speed": "As in [speed.md](speed.md): seconds, `rate` in operations a second.",
    "scaling": "As in [scaling.md](scaling.md): training in microseconds for a target token, "
    "translation in sentences a second.",
    "use": "`use` in percent of the time, as `nvidia-smi` sees it; milliseconds for a call.",
    "bfloat16": "The loss of one batch, from the same weights.",
}
NOTHING = """\
**Nothing was measured**: no GPU was to be had. Tests run one step of the command on the CPU, and
make pages of made-up results; they do not run the others.
"""


def page(gpu, results):
    """The page; `gpu` is None where there is none."""
    found = NOTHING
    if gpu is not None:
        rows = [["step", "how it ended", "seconds", "what it said last"]]
        measured = {}
        for name, result in results.items():
            said = result["said"].replace("|", "\\|")
            kind, _, who = name.partition(", ")
            if result["ended"] == "passed" and said.startswith("{"):
                measured.setdefault(kind, {})[who] = dict(numbers(json.loads(result["said"])))
                said = ""
            rows.append([name, result["ended"], f"{result['seconds']:.1f}", said])
        tables = [table(kind, of) for kind, of in measured.items() if any(of.values())]
        found = "\n\n".join([markdown(rows), *tables, f"Measured on {gpu}."])
    text = PAGE_TEXT.format(found=found, kinds=len(KINDS), steps=PARITY_STEPS)
    return text.rstrip("\n") + "\n"


def numbers(found, above=()):
    """Each number of what a step has measured, and the names that lead to it."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from numbers(value, (*above, name))
        elif isinstance(value, int | float):
            yield ", ".join((*above, name)), value


def table(kind, measured):
    """What several have measured, side by side, under a heading."""
    rows = [[kind, *measured]]
    for name in dict.fromkeys(name for found in measured.values() for name in found):
        values = [found.get(name) for found in measured.values()]
        rows.append([name, *("" if v is None else f"{v:,.5g}" for v in values)])
    return f"## {kind}\n\n{UNITS[kind]}\n\n{markdown(rows)}"


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
