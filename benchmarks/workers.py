"""What several workers gain, and how trainings end when one of them is killed.

`make bench-workers` trains with one process and with two in every framework, kills workers at
random, writes benchmarks/workers.json, and its part of docs/scaling.md.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import LIBRARIES, NAMES, ROOT, markdown, speed, write_results
from d2l_ext import files, workers
from d2l_ext import weights as exchange

RESULTS = Path(__file__).with_name("workers.json")
SETTINGS = {  # processes, and threads of each
    "1 process, 1 thread": (1, 1),
    "1 process, 2 threads": (1, 2),
    "2 processes, 1 thread each": (2, 1),
}
BASE, PAIR = "1 process, 1 thread", "2 processes, 1 thread each"
SIZES = {"vocab": 200, "width": 128, "batch": 128, "length": 20}
TIMED_STEPS = 20
KILLS = 10
TRAINING = ["--num-pairs=300", "--epochs=120", "--batch-size=47", "--max-steps=6"]
TRAINING += ["--embed-size=8", "--num-hiddens=12", "--checkpoint-every=1"]


def steps(worker, sizes, num_steps):
    """In a worker: seconds of steps, and of sums of as many bytes as a gradient has."""
    import time

    from d2l_ext import corpora, weights

    config = {
        "kind": "attention",
        "src_vocab_size": sizes["vocab"],
        "tgt_vocab_size": sizes["vocab"],
        "embed_size": sizes["width"],
        "num_hiddens": sizes["width"],
        "num_layers": 1,
        "dropout": 0.0,
        "bidirectional": False,
    }
    model = d2l.new_model(config)  # noqa: F821
    drawn = weights.draw(config, 0)
    d2l.set_weights(model, drawn)  # noqa: F821
    model = d2l.ParallelSeq2Seq(model, worker)  # noqa: F821
    train = model.make_steps(lambda step: 0.001, 1.0).train
    rows, length = sizes["batch"] // worker.size, sizes["length"]
    ids = numpy.random.default_rng(0).integers(  # noqa: F821
        4, sizes["vocab"], size=(3, rows, length), dtype="int32"
    )
    lens = numpy.full(rows, length, "int32")  # noqa: F821
    part = corpora.Part(corpora.Batch(ids[0], lens, ids[1], ids[2], lens), lens)
    gradient = numpy.ones(sum(array.size for array in drawn.values()), "float32")  # noqa: F821

    def seconds(function):
        function()
        found = []
        for _ in range(num_steps):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
        return found

    sums = seconds(lambda: worker.total(gradient))
    return {
        "steps": seconds(lambda: float(train(part))),
        "sums": sums,
        "bytes": gradient.nbytes,
    }


def killed(framework, kills, rng):
    """A training whose workers are killed at random, again and again, until it ends.

    Returns:
        Seconds from each kill to the end of the launcher; how many messages named the worker;
        how many processes were left; how far the weights are from an undisturbed run's.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)

        def start(name):
            command = ["-m", "d2l_ext", "train", "--workers=2", f"--framework={framework}"]
            command += [f"--out={folder / name}.safetensors", f"--checkpoint={folder / name}"]
            return subprocess.Popen(
                [sys.executable, *command, *TRAINING],
                cwd=ROOT,
                env=os.environ | {"D2L_EXT_BENCH": str(folder)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

        def alive():
            found = {}
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    variables = (process / "environ").read_text().split("\0")
                except OSError:
                    continue
                if f"D2L_EXT_BENCH={folder}" in variables:
                    found[int(process.name)] = dict(v.partition("=")[::2] for v in variables if v)
            return found

        undisturbed = start("undisturbed")
        _, err = undisturbed.communicate()
        if undisturbed.returncode:
            raise RuntimeError(err)
        result = {"seconds": [], "named": 0, "left": 0}
        checkpoint = folder / "killed" / "checkpoint.safetensors"
        while True:
            run, before = start("killed"), checkpoint.stat().st_mtime if checkpoint.exists() else 0
            while run.poll() is None and len(result["seconds"]) < kills:
                if checkpoint.exists() and checkpoint.stat().st_mtime != before:
                    time.sleep(rng.random())
                    number = rng.choice("01")
                    found = [
                        pid
                        for pid, v in alive().items()
                        if (v.get("RANK") or v.get(workers.NUMBER)) == number
                    ]
                    if not found:
                        break  # it was over before
                    os.kill(found[0], signal.SIGKILL)
                    since = time.monotonic()
                    _, err = run.communicate(timeout=120)
                    if run.returncode == 0:
                        break  # that worker had said goodbye
                    result["seconds"].append(time.monotonic() - since)
                    result["named"] += f"worker {number} of 2 (process {found[0]})" in err
                    result["left"] += len(alive())
                    break
                time.sleep(0.02)
            else:
                _, err = run.communicate()
            if run.wait() == 0:
                break
            if run.returncode != 2:
                raise RuntimeError(err)
        one, two = (
            exchange.load(folder / f"{name}.safetensors")[0] for name in ("undisturbed", "killed")
        )
        result["off"] = float(max(np.abs(one[n] - two[n]).max() for n in one))
        shutil.rmtree(folder / "killed")
        return result


def measure(framework, kills, seed):
    found = {
        name: workers.run(framework, steps, size, SIZES, TIMED_STEPS, cores=cores)
        for name, (size, cores) in SETTINGS.items()
    }
    return {
        "steps": {name: median(results[0]["steps"]) for name, results in found.items()},
        "sum": median(found[PAIR][0]["sums"]),
        "bytes": found[PAIR][0]["bytes"],
        "killed": killed(framework, kills, random.Random(seed)),
    }


SECTION = """\
## Several workers

Written by `make bench-workers`. Milliseconds of a training step of {batch} sentences of {length}
tokens, a width of {width} ({bytes:.1f} MB of gradients), the median of {steps}; in parentheses how
many times as fast as one process with one thread. *Efficiency* is that of two processes,
divided by two. *Sum* is what adding up as many bytes as the gradients have takes by itself. Two
processes on one machine share its memory, and others used it too.

{efficiency}

## A worker that dies

A training by two workers, one of which was killed (`kill -9`) at a random moment, {kills} times in
each framework; each time the same command went on from the checkpoint.

{killed}

{machine}
"""


NOTHING = """\
## Several workers

Nothing was measured yet; `make bench-workers` does, and writes this part: what two processes gain,
and how trainings end of which a worker is killed.
"""


def section():
    """What docs/scaling.md says of what was measured."""
    if not RESULTS.exists():
        return NOTHING
    result = json.loads(RESULTS.read_text())
    runs = result["runs"]
    efficiency = [["", *SETTINGS, "efficiency", "sum"]]
    table = [["", "kills", "slowest end, s", "named", "processes left", "weights off by"]]
    for name, run in runs.items():
        base, own = run["steps"][BASE], run["killed"]
        cells = [f"{1e3 * s:.0f} ({base / s:.2f})" for s in run["steps"].values()]
        share = base / run["steps"][PAIR] / 2
        efficiency.append([NAMES[name], *cells, f"{share:.0%}", f"{1e3 * run['sum']:.1f}"])
        kills = len(own["seconds"])
        table.append(
            [
                NAMES[name],
                str(kills),
                f"{max(own['seconds']):.1f}",
                str(own["named"]),
                str(own["left"]),
                f"{own['off']:.1g}",
            ]
        )
    size = next(iter(runs.values()))["bytes"]
    return SECTION.format(
        efficiency=markdown(efficiency),
        killed=markdown(table),
        bytes=size / 1e6,
        steps=TIMED_STEPS,
        kills=result["kills"],
        machine=result["machine"],
        **SIZES,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", action="append", choices=LIBRARIES)
    parser.add_argument("--kills", type=int, default=KILLS)
    options = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    runs = known["runs"]
    for framework in options.framework or LIBRARIES:
        runs[framework] = measure(framework, options.kills, seed=0)
        print(f"{framework}: {runs[framework]}", flush=True)
        result = {"machine": speed.machine(), "kills": options.kills}
        result["runs"] = {name: runs[name] for name in LIBRARIES if name in runs}
        write_results(RESULTS, result)
    from benchmarks import scaling  # whose page has this one's part

    text = scaling.page(json.loads(scaling.RESULTS.read_text()))
    files.write_whole(scaling.PAGE, text.encode())


if __name__ == "__main__":
    main()
