"""Trains the Bahdanau model in every framework and, beside it, d2l's own in PyTorch.

`make bench` runs each in a process of its own, one after the other and all again, and writes what
it has measured to benchmarks/speed.json and docs/speed.md. d2l's model is given the same pairs,
sizes and epochs, and its own trainer. JAX trains twice: with nothing in its compilation cache, as
the first time on a machine, and with what that run has left there. Where there is a GPU, all that
can use it do, and PyTorch trains once more in mixed precision.
"""

import argparse
import collections
import importlib
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

import benchmarks
from benchmarks import LIBRARIES, NAMES, ROOT, write_results
from d2l_ext import corpora, files, metrics, weights

RESULTS = Path(__file__).with_name("speed.json")
PAGE = ROOT / "docs" / "speed.md"
D2L = "d2l, PyTorch"
AGAIN = "JAX, the second time"
MIXED = "PyTorch, bfloat16"  # where there is a GPU
CONTESTANTS = (D2L, *LIBRARIES, AGAIN, MIXED)
SIZES = {"embed_size": 256, "num_hiddens": 256, "num_layers": 2, "dropout": 0.2}
NUM_PAIRS, NUM_STEPS, BATCH_SIZE, NUM_EPOCHS = 640, 9, 128, 30
LR, GRAD_CLIP = 0.005, 1.0


def load(name):
    """The corpus in the shape of the book's: the first 640 pairs of at most 9 steps."""
    return corpora.load(name, NUM_PAIRS, NUM_STEPS, tokens="words")  # as d2l cuts them


def configuration(corpus):
    return benchmarks.configuration(corpus, kind="attention", **SIZES)


def operations(corpus, config):
    """Floating-point operations of an epoch of training that the real tokens need.

    A multiplication and its addition are two; backward takes twice as many as forward.
    """
    E, H, L = (config[key] for key in ("embed_size", "num_hiddens", "num_layers"))
    V = config["tgt_vocab_size"]
    src = np.array([len(pair.source) + 1 for pair in corpus.train])
    tgt = np.array([len(pair.target) + 1 for pair in corpus.train])
    upper_layers = (L - 1) * 2 * H * 3 * H
    encoder = (E + H) * 3 * H + upper_layers + H * H  # with the projected keys
    decoder = H * H + (H + E + H) * 3 * H + upper_layers + H * V
    attention = 2 * H  # score and average, for each target and source token
    forward = src.sum() * encoder + tgt.sum() * decoder + (src * tgt).sum() * attention
    return 3 * 2 * int(forward)


def library(contestant):
    """The module with a contestant's model."""
    if contestant == D2L:
        return importlib.import_module("benchmarks.d2l_torch")
    framework = {AGAIN: "jax", MIXED: "pytorch"}.get(contestant, contestant)
    return importlib.import_module(f"d2l_ext.{LIBRARIES[framework]}")


def mixed_precision(model):
    """Let a PyTorch model with attention compute its products in bfloat16."""
    import torch

    device = library("pytorch").device().type
    forward = torch.autocast(device, torch.bfloat16)(model.forward)
    model.forward = lambda *inputs: tuple(output.float() for output in forward(*inputs))


class Trained(NamedTuple):
    """What training gave.

    seconds: from building the model to the end of the last epoch.
    epochs: seconds of each.
    loss: of the validation pairs, for a real target token.
    translate: function of pairs, a beam's size and most steps, which returns token lists; d2l's
        search is greedy and makes all its steps, whatever it is given.
    train_pass: function that trains on all pairs once more, and waits for it.
    """

    seconds: float
    epochs: list
    loss: float
    translate: Callable
    train_pass: Callable


def train(contestant, corpus, seed):
    """Build a model and train it; returns `Trained`."""
    config, module = configuration(corpus), library(contestant)
    start = time.perf_counter()
    if contestant == D2L:
        module.torch.manual_seed(seed)
        model = module.new_model(config, LR)
        epochs = module.train(model, corpus, NUM_EPOCHS, BATCH_SIZE, NUM_STEPS, GRAD_CLIP)
        seconds = time.perf_counter() - start

        def translate(pairs, beam_size=1, max_steps=None):
            return module.translate(model, pairs, corpus, NUM_STEPS)

        batches = corpus.batches("train", BATCH_SIZE, multiple=NUM_STEPS)
        steps = [module.training_step(model, batch, GRAD_CLIP) for batch in batches]

        def train_pass():
            for step in steps:
                step()

        loss = module.mean_loss(model, corpus.validation, corpus, NUM_STEPS)
        return Trained(seconds, epochs, loss, translate, train_pass)
    model = module.new_model(config)
    if contestant == MIXED:
        mixed_precision(model)
    module.set_weights(model, weights.draw(config, seed))
    history = module.train_seq2seq(
        model, corpus, NUM_EPOCHS, BATCH_SIZE, LR, GRAD_CLIP, seed, progress=False
    )
    seconds = time.perf_counter() - start

    def translate(pairs, beam_size=1, max_steps=None):
        sources = [pair.source for pair in pairs]
        return [result.tokens for result in module.translate(model, sources, beam_size, max_steps)]

    batches = list(corpus.batches("train", BATCH_SIZE))
    train_step = model.make_steps(lambda step: LR, GRAD_CLIP).train

    def train_pass():
        module.mean_loss(train_step, batches)  # waits for the last loss

    epochs = [record.seconds for record in history]
    return Trained(seconds, epochs, history[-1].validation_loss, translate, train_pass)


def measure(contestant, corpus_name, seed):
    """Train once.

    Returns:
        Dict of seconds in all, of compilation, and of a pass over the training pairs once all is
        compiled, validation loss, BLEU on the validation pairs and, by d2l's process, the rate of
        matrix products, the seconds of an epoch's products alone, and the GPU's name or None.
    """
    corpus = load(corpus_name)
    module = library(contestant)  # whose import does not count
    trained = train(contestant, corpus, seed)
    epoch = statistics.median(trained.epochs)
    tokens = trained.translate(corpus.validation)
    found = {
        "seconds": trained.seconds,
        "compilation": trained.seconds - sum(min(time, epoch) for time in trained.epochs),
        "loss": trained.loss,
        "bleu": metrics.bleu(tokens, [pair.target for pair in corpus.validation]),
    }
    found["pass"] = benchmarks.median_seconds(trained.train_pass, 5)
    if contestant == D2L:
        size = 2048
        found["rate"] = 2 * size**3 / product_seconds(module, size, size, size)
        found["products"] = all_products(module, corpus, configuration(corpus))
        gpu = module.device.type == "cuda"
        found["gpu"] = module.torch.cuda.get_device_name() if gpu else None
    return found


def product_seconds(module, rows, inner, columns, repeats=10):
    """Seconds of a float32 matrix product by PyTorch, its fastest of some repeats."""
    torch = module.torch
    a = torch.randn(rows, inner, device=module.device)
    b = torch.randn(inner, columns, device=module.device)

    def multiply():
        a @ b
        module.wait()

    return min(benchmarks.times(multiply, repeats, warm_up=0))


def all_products(module, corpus, config):
    """Seconds of the matrix products of one epoch, at the sizes at which a batch asks for them.

    Forward and both of backward. What can be computed for all steps at once is.
    """
    E, H, L = (config[key] for key in ("embed_size", "num_hiddens", "num_layers"))
    V = config["tgt_vocab_size"]
    needed = collections.Counter()  # (rows, inputs, outputs): how often
    for batch in corpus.batches("train", BATCH_SIZE):
        rows, src_steps = batch.src.shape
        tgt_steps = batch.tgt_in.shape[1]
        all_src, all_tgt = rows * src_steps, rows * tgt_steps
        for inputs in (E, *[H] * (L - 1)):  # the encoder's layers
            needed[all_src, inputs, 3 * H] += 1
            needed[rows, H, 3 * H] += src_steps
        needed[all_src, H, H] += 1  # the keys
        needed[rows, H, H] += tgt_steps  # the query
        for inputs in (H + E, *[H] * (L - 1)):  # the decoder's layers
            needed[rows, inputs, 3 * H] += tgt_steps
            needed[rows, H, 3 * H] += tgt_steps
        needed[all_tgt, H, V] += 1
    return sum(
        count
        * (
            product_seconds(module, rows, inputs, outputs)
            + product_seconds(module, rows, outputs, inputs)
            + product_seconds(module, inputs, rows, outputs)
        )
        for (rows, inputs, outputs), count in needed.items()
    )


def summary(repeats, corpus_name):
    """Medians and spreads of what was measured.

    Args:
        repeats: list of {contestant: what `measure` returned}.
        corpus_name: what the corpus was loaded as.

    Returns:
        Dict from contestant to dict of figures; the ratio compares totals of the same repeat.
    """
    corpus = load(corpus_name)
    num_steps = math.ceil(len(corpus.train) / BATCH_SIZE)
    num_tokens = sum(len(pair.target) + 1 for pair in corpus.train)
    work = operations(corpus, configuration(corpus))
    table = {}
    for contestant in repeats[0]:
        runs = [repeat[contestant] for repeat in repeats]
        seconds = statistics.median(run["pass"] for run in runs)
        totals = [run["seconds"] for run in runs]
        figures = {
            "seconds": statistics.median(totals),
            "fastest": min(totals),
            "slowest": max(totals),
            "compilation": statistics.median(run["compilation"] for run in runs),
            "times as fast as d2l": statistics.median(
                repeat[D2L]["seconds"] / repeat[contestant]["seconds"] for repeat in repeats
            ),
            "milliseconds a step": 1000 * seconds / num_steps,
            "target tokens a second": num_tokens / seconds,
            "share of the matrix rate": statistics.median(
                work / repeat[contestant]["pass"] / repeat[D2L]["rate"] for repeat in repeats
            ),
            "validation loss": statistics.median(run["loss"] for run in runs),
            "BLEU": statistics.median(run["bleu"] for run in runs),
        }
        table[contestant] = figures
    return table


PAGE_TEXT = """\
# How fast the four frameworks train

Written by `make bench`; not edited by hand. It trains the Bahdanau decoder for {epochs} epochs on
the first {pairs} pairs of a corpus (at most {steps} steps, batches of {batch}, {layers} layers
of {hiddens} units, dropout {dropout}) in each framework and, as a measure, with the d2l book's own
PyTorch classes and trainer on the same pairs. Every run has a process of its own, and the
contestants take turns. Figures are medians; with a total stand its fastest and slowest run.

*Total* is what a reader waits: building the model, compiling, all epochs with their validation.
*Compiling* is building and what the slow epochs take longer than the median one; JAX keeps what it
has compiled in the user's cache folder, and finds it there the second time. *A step* is one of
training alone, without validation, once all is compiled. *Matrix rate* is its share of the
machine's float32 matrix products (2048 x 2048 by PyTorch, measured in the same run), counting only
the operations that real tokens need. The loss is of a target token, in nats; loss and BLEU are of
the validation pairs. [performance.md](performance.md) says where the time goes and what was tried.
"""

SECTION = """
## `{corpus}`

{table}

{repeats} runs of each. The rate of large matrix products was {rate:.0f} billion operations a
second. At the sizes that batches ask for, PyTorch's matrix products alone, with nothing between
them, take {products:.0f} ms a step: {products_share:.0%} of the rate, and {products_total:.1f} s
for all epochs.

{machine}
"""


def page(results):
    """The page of a dict from a corpus's name to its result, as `main` writes both."""
    text = PAGE_TEXT.format(
        epochs=NUM_EPOCHS,
        pairs=NUM_PAIRS,
        steps=NUM_STEPS,
        batch=BATCH_SIZE,
        layers=SIZES["num_layers"],
        hiddens=SIZES["num_hiddens"],
        dropout=SIZES["dropout"],
    )
    return text + "".join(section(corpus, result) for corpus, result in results.items())


def section(corpus, result):
    """A corpus's part of the page."""
    header = [
        "",
        "total, s",
        "times as fast",
        "compiling, s",
        "ms a step",
        "target tokens a second",
    ]
    header += ["matrix rate", "validation loss", "BLEU"]
    rows = [header]
    for contestant, figures in result["table"].items():
        rows.append(
            [
                NAMES.get(contestant, contestant),
                f"{figures['seconds']:.1f} ({figures['fastest']:.1f}–{figures['slowest']:.1f})",
                f"{figures['times as fast as d2l']:.2f}",
                f"{figures['compilation']:.1f}",
                f"{figures['milliseconds a step']:.0f}",
                f"{figures['target tokens a second']:,.0f}",
                f"{figures['share of the matrix rate']:.0%}",
                f"{figures['validation loss']:.3f}",
                f"{figures['BLEU']:.1f}",
            ]
        )
    return SECTION.format(
        corpus=corpus,
        repeats=result["repeats"],
        table=benchmarks.markdown(rows),
        rate=result["rate"] / 1e9,
        products=1000 * result["products"] / result["steps"],
        products_share=result["work"] / result["products"] / result["rate"],
        products_total=NUM_EPOCHS * result["products"],
        machine=result["machine"],
    )


def machine(gpu=None):
    """What the figures were measured on; `gpu` is a GPU's name."""
    packages = ["d2l", "torch", "mxnet", "jax", "flax", "tensorflow", "keras"]
    versions = [f"{name} {metadata.version(name).partition('+')[0]}" for name in packages]
    device = f"{len(os.sched_getaffinity(0))} CPU cores"
    if gpu:
        device = f"a GPU ({gpu}) and {device}"
    return f"Measured on {device} with {', '.join(versions)}."


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="grammar", help="as for corpora.load")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--framework", action="append", choices=LIBRARIES, help="only this one")
    parser.add_argument("--worker", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.corpus, options.seed)))
        return
    contestants = [D2L, *(options.framework or LIBRARIES)]
    if "jax" in contestants:
        contestants.insert(contestants.index("jax") + 1, AGAIN)
    repeats = []
    for repeat in range(options.repeats):
        repeats.append({})
        arguments = ["--corpus", options.corpus, "--seed", str(repeat)]
        with tempfile.TemporaryDirectory() as caches:  # empty at first
            for contestant in contestants:  # which may grow: see below
                found = benchmarks.in_own_process(
                    "benchmarks.speed", contestant, *arguments, XDG_CACHE_HOME=caches
                )
                repeats[-1][contestant] = found
                if found.get("gpu") and "pytorch" in contestants and MIXED not in contestants:
                    contestants.append(MIXED)
                place = f"{repeat + 1}/{options.repeats} {contestant}"
                print(f"{place}: {found['seconds']:.1f} s", flush=True)
    corpus = load(options.corpus)
    result = {
        "repeats": options.repeats,
        "machine": machine(repeats[0][D2L]["gpu"]),
        "rate": statistics.median(repeat[D2L]["rate"] for repeat in repeats),
        "products": statistics.median(repeat[D2L]["products"] for repeat in repeats),
        "work": operations(corpus, configuration(corpus)),
        "steps": math.ceil(len(corpus.train) / BATCH_SIZE),
        "table": summary(repeats, options.corpus),
        "runs": repeats,
    }
    name = Path(options.corpus).name
    print(section(name, result))
    if options.framework is None:
        results = json.loads(RESULTS.read_text(encoding="utf-8")) | {name: result}
        write_results(RESULTS, results)
        files.write_whole(PAGE, page(results).encode())


if __name__ == "__main__":
    main()
