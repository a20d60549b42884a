"""Trains the Bahdanau model in every framework and, beside it, d2l's own in PyTorch.

`make bench` runs each in a process of its own, one after the other and all again, and writes what
it has measured to benchmarks/speed.json and docs/speed.md. d2l's model is given the same pairs,
sizes and epochs, and its own trainer.
"""

import argparse
import importlib
import json
import math
import os
import statistics
import time
from importlib import metadata
from pathlib import Path

import numpy as np

import benchmarks
from benchmarks import LIBRARIES, NAMES, ROOT
from d2l_ext import corpora, files, metrics, weights

RESULTS = Path(__file__).with_name("speed.json")
PAGE = ROOT / "docs" / "speed.md"
D2L = "d2l, PyTorch"
CONTESTANTS = (D2L, *LIBRARIES)
SIZES = {"embed_size": 256, "num_hiddens": 256, "num_layers": 2, "dropout": 0.2}
NUM_PAIRS, NUM_STEPS, BATCH_SIZE, NUM_EPOCHS = 640, 9, 128, 30
LR, GRAD_CLIP = 0.005, 1.0


def load(name):
    """The corpus in the shape of the book's: the first 640 pairs of at most 9 steps."""
    return corpora.load(name, NUM_PAIRS, NUM_STEPS)


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
    name = "benchmarks.d2l_torch" if contestant == D2L else f"d2l_ext.{LIBRARIES[contestant]}"
    return importlib.import_module(name)


def train(contestant, corpus, seed):
    """Build a model and train it.

    Returns:
        Seconds of each epoch, the last validation loss (None of d2l's), and a function of pairs, a
        beam's size and most steps, which returns token lists; d2l's search is greedy and makes all
        its steps, whatever it is given.
    """
    config, module = configuration(corpus), library(contestant)
    if contestant == D2L:
        module.torch.manual_seed(seed)
        model = module.new_model(config, LR)
        epochs = module.train(model, corpus, NUM_EPOCHS, BATCH_SIZE, NUM_STEPS, GRAD_CLIP)

        def translate(pairs, beam_size=1, max_steps=None):
            return module.translate(model, pairs, corpus, NUM_STEPS)

        return epochs, None, translate
    model = module.new_model(config)
    module.set_weights(model, weights.draw(config, seed))
    history = module.train_seq2seq(
        model, corpus, NUM_EPOCHS, BATCH_SIZE, LR, GRAD_CLIP, seed, progress=False
    )

    def translate(pairs, beam_size=1, max_steps=None):
        sources = [pair.source for pair in pairs]
        return [result.tokens for result in module.translate(model, sources, beam_size, max_steps)]

    return [record.seconds for record in history], history[-1].validation_loss, translate


def measure(contestant, corpus_name, seed):
    """Train once.

    Returns:
        Dict of seconds in all, seconds of compilation, seconds of an epoch without it, validation
        loss, BLEU on the validation pairs and, by d2l's process, the rate of matrix products.
    """
    corpus = load(corpus_name)
    module = library(contestant)  # whose import does not count
    start = time.perf_counter()
    epochs, loss, translate = train(contestant, corpus, seed)
    found = {"seconds": time.perf_counter() - start}
    tokens = translate(corpus.validation)
    if loss is not None:
        found["loss"] = loss
    if contestant == D2L:
        found["rate"] = matrix_rate(module.torch)
    epoch = statistics.median(epochs)
    found["epoch"] = epoch
    found["compilation"] = found["seconds"] - sum(min(seconds, epoch) for seconds in epochs)
    found["bleu"] = metrics.bleu(tokens, [pair.target for pair in corpus.validation])
    return found


def matrix_rate(torch, size=2048, repeats=10):
    """Floating-point operations a second of a large float32 matrix product."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


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
        epoch = statistics.median(run["epoch"] for run in runs)
        totals = [run["seconds"] for run in runs]
        figures = {
            "seconds": statistics.median(totals),
            "fastest": min(totals),
            "slowest": max(totals),
            "compilation": statistics.median(run["compilation"] for run in runs),
            "milliseconds a step": 1000 * epoch / num_steps,
            "target tokens a second": num_tokens / epoch,
            "BLEU": statistics.median(run["bleu"] for run in runs),
        }
        if "loss" in runs[0]:
            figures["validation loss"] = statistics.median(run["loss"] for run in runs)
        if D2L in repeats[0]:
            figures["times as fast as d2l"] = statistics.median(
                repeat[D2L]["seconds"] / repeat[contestant]["seconds"] for repeat in repeats
            )
            rate = statistics.median(repeat[D2L]["rate"] for repeat in repeats)
            figures["share of the matrix rate"] = work / epoch / rate
        table[contestant] = figures
    return table


PAGE_TEXT = """\
# How fast the four frameworks train

Written by `make bench`; not edited by hand. It trains the Bahdanau decoder for {epochs} epochs on
the first {pairs} pairs of `{corpus}` (at most {steps} steps, batches of {batch}, {layers} layers
of {hiddens} units, dropout {dropout}) in each framework and, as a measure, with the d2l book's own
PyTorch classes and trainer on the same pairs. Every run has a process of its own; the contestants
take turns, {repeats} times. Figures are medians; with a total stand its fastest and slowest run.

{table}

*Total* is what a reader waits: building the model, compiling, all epochs with their validation.
*Compiling* is what the slow epochs take longer than the median one. *Matrix rate* is the share of
the machine's float32 matrix products (2048 x 2048 by PyTorch, measured in the same run: {rate:.0f}
billion operations a second) that a median epoch reaches, counting only the operations that real
tokens need.

{machine}
"""


def page(result):
    """The page of a result, as `main` writes both."""
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
        loss = figures.get("validation loss")
        rows.append(
            [
                NAMES.get(contestant, contestant),
                f"{figures['seconds']:.1f} ({figures['fastest']:.1f}–{figures['slowest']:.1f})",
                f"{figures['times as fast as d2l']:.2f}",
                f"{figures['compilation']:.1f}",
                f"{figures['milliseconds a step']:.0f}",
                f"{figures['target tokens a second']:,.0f}",
                f"{figures['share of the matrix rate']:.0%}",
                "" if loss is None else f"{loss:.3f}",
                f"{figures['BLEU']:.1f}",
            ]
        )
    return PAGE_TEXT.format(
        epochs=NUM_EPOCHS,
        pairs=NUM_PAIRS,
        corpus=result["corpus"],
        steps=NUM_STEPS,
        batch=BATCH_SIZE,
        layers=SIZES["num_layers"],
        hiddens=SIZES["num_hiddens"],
        dropout=SIZES["dropout"],
        repeats=result["repeats"],
        table=benchmarks.markdown(rows),
        rate=result["rate"] / 1e9,
        machine=result["machine"],
    )


def machine():
    """What the figures were measured on."""
    packages = ["d2l", "torch", "mxnet", "jax", "flax", "tensorflow", "keras"]
    versions = [f"{name} {metadata.version(name).partition('+')[0]}" for name in packages]
    return f"Measured on {len(os.sched_getaffinity(0))} CPU cores with {', '.join(versions)}."


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
    repeats = []
    for repeat in range(options.repeats):
        repeats.append({})
        for contestant in contestants:
            found = benchmarks.in_own_process(
                "benchmarks.speed", contestant, "--corpus", options.corpus, "--seed", str(repeat)
            )
            repeats[-1][contestant] = found
            print(
                f"{repeat + 1}/{options.repeats} {contestant}: {found['seconds']:.1f} s",
                flush=True,
            )
    result = {
        "corpus": Path(options.corpus).name,
        "repeats": options.repeats,
        "machine": machine(),
        "rate": statistics.median(repeat[D2L]["rate"] for repeat in repeats),
        "table": summary(repeats, options.corpus),
        "runs": repeats,
    }
    text = page(result)
    print(text)
    if options.framework is None:
        files.write_whole(RESULTS, (json.dumps(result, indent=2) + "\n").encode())
        files.write_whole(PAGE, text.encode())


if __name__ == "__main__":
    main()
