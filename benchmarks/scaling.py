"""How training scales with length, batch and width, and how fast models translate.

`make bench-scaling` runs every framework, and d2l's own PyTorch model beside them, each in a
process of its own, and writes benchmarks/scaling.json and docs/scaling.md. Speed with compilation
is what `make bench` measures; here compiled code is warm.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks import (
    LIBRARIES,
    NAMES,
    ROOT,
    first_model,
    in_own_process,
    markdown,
    median_seconds,
    speed,
    workers,
    write_results,
)
from d2l_ext import corpora, files, weights

RESULTS = Path(__file__).with_name("scaling.json")
PAGE = ROOT / "docs" / "scaling.md"
BASE = {"length": 20, "batch": 128, "width": 256}
VARIED = {"length": (10, 20, 50, 80), "batch": (32, 128, 512), "width": (128, 256, 512)}
LABELS = {
    f"{name} {value}": BASE | {name: value} for name, values in VARIED.items() for value in values
}
VOCAB = 200
TIMED_STEPS = 5
SENTENCES = 64
LONG = 50


def random_batch(length, batch):
    """A `corpora.Batch` of random tokens in which every sentence has the same length."""
    rng = np.random.default_rng(0)
    ids = rng.integers(4, VOCAB, size=(3, batch, length), dtype=np.int32)
    lens = np.full(batch, length, np.int32)
    return corpora.Batch(ids[0], lens, ids[1], ids[2], lens)


def configuration(width):
    return {
        "kind": "attention",
        "src_vocab_size": VOCAB,
        "tgt_vocab_size": VOCAB,
        "bidirectional": False,
        **speed.SIZES,
        "embed_size": width,
        "num_hiddens": width,
    }


def training_step(contestant, setting):
    """A function that makes one step of training and waits for it."""
    config = configuration(setting["width"])
    batch = random_batch(setting["length"], setting["batch"])
    d2l = speed.library(contestant)
    if contestant == speed.D2L:
        return d2l.training_step(d2l.new_model(config, speed.LR), batch, speed.GRAD_CLIP)
    model = first_model(d2l, config, 0)
    train_step = model.make_steps(lambda step: speed.LR, speed.GRAD_CLIP).train
    return lambda: float(train_step(batch))


def translations(contestant):
    """Sentences a second, by (beam size, batch size); d2l has greedy search only."""
    corpus = speed.load("grammar")
    pairs = corpus.train[:SENTENCES]
    translate = speed.train(contestant, corpus, seed=0).translate
    found = {}
    for beam_size in (1,) if contestant == speed.D2L else (1, 4):
        for batch in (1, SENTENCES):
            groups = [pairs[i : i + batch] for i in range(0, SENTENCES, batch)]

            def everything(groups=groups, beam_size=beam_size):
                for group in groups:
                    translate(group, beam_size, speed.NUM_STEPS)

            found[f"beam {beam_size}, batch {batch}"] = SENTENCES / median_seconds(everything, 3)
    everything = long_translation(contestant)
    found[f"beam 1, batch {SENTENCES}, length {LONG}"] = SENTENCES / median_seconds(everything, 3)
    return found


def long_translation(contestant):
    """A function that translates a batch of long sentences, with as many steps for each.

    The model is not trained; that it never says <eos> is seen to.
    """
    config, d2l = configuration(BASE["width"]), speed.library(contestant)
    words = [f"word{i}" for i in range(VOCAB - len(corpora.SPECIAL_TOKENS))]
    vocab = corpora.Vocab([*corpora.SPECIAL_TOKENS, *words])
    sources = np.random.default_rng(0).choice(words, size=(SENTENCES, LONG - 1)).tolist()
    pairs = [corpora.Pair(tuple(source), ("word0",), None) for source in sources]
    corpus = corpora.ParallelCorpus("long", pairs, pairs, [], vocab, vocab, LONG)
    if contestant == speed.D2L:
        model = d2l.new_model(config, speed.LR)  # makes all its steps
        return lambda: d2l.translate(model, pairs, corpus, LONG)
    model = d2l.new_model(config)
    drawn = weights.draw(config, 0)
    drawn["decoder.dense.b"][vocab.eos] = -100
    d2l.set_weights(model, drawn)
    model.src_vocab = model.tgt_vocab = vocab
    return lambda: d2l.translate(model, sources, max_steps=LONG)


def measure(contestant):
    """Microseconds a target token of training in every setting, and sentences a second."""
    training = {}  # each setting once: the base has three labels
    for setting in LABELS.values():
        key = tuple(setting.values())
        if key not in training:
            tokens = setting["length"] * setting["batch"]
            step = training_step(contestant, setting)
            training[key] = 1e6 * median_seconds(step, TIMED_STEPS) / tokens
    return {
        "training": {label: training[tuple(s.values())] for label, s in LABELS.items()},
        "translation": translations(contestant),
    }


PAGE_TEXT = """\
# How speed scales

Written by `make bench-scaling`; not edited by hand. The Bahdanau decoder as in
[speed.md](speed.md), warm: without compilation.

## Training

Microseconds for a target token, and in parentheses how many times as fast as d2l's PyTorch
classes. Where the first column says nothing else, sentences are {length} tokens long, a batch has
{batch} of them, and layers have {width} units; no sentence is padded.

{training}

## Translation

Sentences a second, after training as in `make bench`; {sentences} sentences of its corpus, all at
once or one by one. d2l's `predict_step` searches greedily. The last line is an untrained model's,
which translates sentences of {long} tokens into as many.

{translation}

{machine}

{workers}"""


def page(result):
    """The page of a result, as `main` writes both."""
    found = result["runs"]
    header = ["", *(NAMES.get(contestant, contestant) for contestant in found)]
    training = [header]
    for label in LABELS:
        base = found[speed.D2L]["training"][label]
        times = [run["training"][label] for run in found.values()]
        training.append([label, *(f"{t:.1f} ({base / t:.1f})" for t in times)])
    translation = [header]
    base = found[speed.D2L]["translation"]
    for how in next(iter(reversed(found.values())))["translation"]:
        cells = []
        for run in found.values():
            rate, reference = run["translation"].get(how), base.get(how)
            ratio = f" ({rate / reference:.1f})" if rate and reference else ""
            cells.append(f"{rate:,.0f}{ratio}" if rate else "")
        translation.append([how, *cells])
    return PAGE_TEXT.format(
        training=markdown(training),
        translation=markdown(translation),
        sentences=SENTENCES,
        long=LONG,
        machine=result["machine"],
        workers=workers.section(),
        **BASE,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", choices=(speed.D2L, *LIBRARIES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker)))
        return
    runs = {}
    for contestant in (speed.D2L, *LIBRARIES):
        runs[contestant] = in_own_process("benchmarks.scaling", contestant)
        print(f"{contestant}: done", flush=True)
    result = {"machine": speed.machine(), "settings": LABELS, "runs": runs}
    text = page(result)
    print(text)
    write_results(RESULTS, result)
    files.write_whole(PAGE, text.encode())


if __name__ == "__main__":
    main()
