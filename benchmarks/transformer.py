"""Trains the Transformer of chapter 09 beside the models of chapters 05 and 07.

`make transformer` trains in PyTorch, each model with five seeds, which draw its first weights and
the order of the pairs; all trainings have the same number of steps, of the same batches. It
keeps each row in benchmarks/transformer.json, so that what was interrupted goes on, and writes
the tables of chapter 09. Times are of the processor, with one thread.
"""

import dataclasses
import functools
import itertools
import json
import re
import time
from importlib import metadata
from pathlib import Path

import numpy as np

from benchmarks import (
    ROOT,
    configuration,
    first_model,
    markdown,
    spread,
    write_results,
    write_table,
)
from d2l_ext import corpora, metrics

RESULTS = Path(__file__).with_suffix(".json")
CHAPTER = ROOT / "notebooks" / "09_transformer.md"
SEEDS, NUM_STEPS, BATCH_SIZE, LR, WARM_UP = range(5), 840, 64, 0.005, 200
GRU = {"embed_size": 64, "num_hiddens": 128, "num_layers": 1, "dropout": 0.0}
WIDTH = {"embed_size": 96, "num_hiddens": 96, "num_layers": 2, "dropout": 0.0}
INNER = {"ffn_num_hiddens": 192, "num_heads": 4}
LUONG = {"score": "general", "input_feeding": True, "local": None, "window": 10}
MODELS = {  # what the tables call them, and their configuration
    "Bahdanau": {"kind": "attention", **GRU},
    "Luong": {"kind": "global", **GRU, **LUONG},
    "Transformer": {"kind": "transformer", **WIDTH, **INNER, "norm_first": True},
}
PAIRS = (500, 3_000, 18_000)  # to learn from
EDGES = (0, 5, 9, 15)  # of the lengths of sources, in tokens
LONGEST, BEYOND = 15, 30  # tokens of the sentences to learn from, and of the longest to translate
POSITIONS = {"Transformer, sinusoids": "Transformer", "Transformer, learned": "Transformer"}
POSITIONS["Bahdanau"] = "Bahdanau"
NORMS = [(True, 0), (False, 0), (False, WARM_UP)]  # norm before, and steps of warm-up
LENGTHS, REPEATS = (10, 50, 100, 200), 5  # tokens of either side; the fastest counts


@functools.cache
def grammar(max_steps):
    """The grammar's sentences; validation, which nobody asks for here, has one batch."""
    corpus = corpora.load("grammar", max_steps=max_steps)
    return dataclasses.replace(corpus, validation=corpus.validation[:BATCH_SIZE])


def new_model(d2l, corpus, name, seed, **changes):
    """A model with its first weights, by its name in `MODELS`."""
    options = MODELS[name] | changes
    return first_model(d2l, configuration(corpus, bidirectional=True, **options), seed)


def train(d2l, model, corpus, seed, warmup):
    """Train for about as many steps whatever the number of pairs."""
    epochs = max(1, round(NUM_STEPS * BATCH_SIZE / len(corpus.train)))
    d2l.train_seq2seq(
        model, corpus, epochs, BATCH_SIZE, LR, seed=seed, warmup=warmup, progress=False
    )


def bleu(d2l, model, pairs):
    """BLEU of greedy translations, rounded."""
    found = d2l.translate(model, [pair.source for pair in pairs])
    score = metrics.bleu([result.tokens for result in found], [pair.target for pair in pairs])
    return round(score, 1)


def between(pairs, low, high):
    """The pairs whose source has more than `low` and at most `high` tokens."""
    return [pair for pair in pairs if low < len(pair.source) <= high]


def learn_positions(model):
    """Replace a Transformer's sinusoids by learned vectors, drawn small as in GPT-2."""
    import torch

    for side in (model.encoder, model.decoder):
        size = side.positions.P.shape
        del side.positions.P
        side.positions.P = torch.nn.Parameter(0.02 * torch.randn(size))


# Experiments: each yields the keys of its rows and measures one of them -------------------------


def pairs_keys():
    yield from ((name, count) for count in PAIRS for name in MODELS)


def measure_pairs(d2l, seed, name, count):
    """BLEU of a model that has learned from so many pairs; of all and by length."""
    corpus = grammar(16)
    corpus = dataclasses.replace(corpus, train=corpus.train[:count])
    model = new_model(d2l, corpus, name, seed)
    train(d2l, model, corpus, seed, WARM_UP if name == "Transformer" else 0)
    parts = itertools.pairwise(EDGES)
    by_length = [bleu(d2l, model, between(corpus.test, *edges)) for edges in parts]
    return {"bleu": bleu(d2l, model, corpus.test), "by_length": by_length}


def beyond_keys():
    yield from ((name,) for name in POSITIONS)


def measure_beyond(d2l, seed, name):
    """BLEU on sentences as long as those of training and on longer ones."""
    corpus = grammar(BEYOND + 1)
    short = [pair for pair in corpus.train if max(len(pair.source), len(pair.target)) <= LONGEST]
    corpus = dataclasses.replace(corpus, train=short)
    model = new_model(d2l, corpus, POSITIONS[name], seed)
    if name.endswith("learned"):
        model.reseed(seed)
        learn_positions(model)
    train(d2l, model, corpus, seed, 0 if name == "Bahdanau" else WARM_UP)
    model.max_steps = BEYOND + 1  # no warning
    return {
        "pairs": len(short),
        "bleu": bleu(d2l, model, between(corpus.test, 0, LONGEST)),
        "beyond": bleu(d2l, model, between(corpus.test, LONGEST, BEYOND)),
    }


def norm_keys():
    yield from NORMS


def measure_norm(d2l, seed, norm_first, warmup):
    """BLEU by the place of the norm, with and without warm-up."""
    corpus = grammar(16)
    model = new_model(d2l, corpus, "Transformer", seed, norm_first=norm_first)
    train(d2l, model, corpus, seed, warmup)
    return {"bleu": bleu(d2l, model, corpus.test)}


def time_keys():
    yield from ((name,) for name in MODELS)


def measure_time(d2l, seed, name):
    """Milliseconds of a training step, and of predicting as many words, a sentence."""
    corpus = grammar(16)
    model = new_model(d2l, corpus, name, seed)
    rng, found = np.random.default_rng(seed), {"training": [], "prediction": []}
    found["parameters"] = sum(array.size for array in d2l.get_weights(model).values())
    step = model.make_steps(lambda step: LR, 1.0).train
    for length in LENGTHS:
        batch = random_batch(rng, corpus, length)
        found["training"].append(milliseconds(lambda batch=batch: float(step(batch))))
        found["prediction"].append(milliseconds(lambda batch=batch: predict(model, batch)))
    return found


def random_batch(rng, corpus, length):
    """Random words, so many on either side."""
    size = (BATCH_SIZE, length)
    src, tgt = (
        rng.integers(4, len(known), size, dtype="int32")
        for known in (corpus.src_vocab, corpus.tgt_vocab)
    )
    lens = np.full(BATCH_SIZE, length, "int32")
    return corpora.Batch(src, lens, tgt, tgt, lens)


def predict(model, batch):
    """Run the decoder word by word, as greedy search does."""
    state = model.start_decoding(batch.src, batch.src_valid_len)
    for t in range(batch.tgt_in.shape[1]):
        *_, state = model.decode(batch.tgt_in[:, t : t + 1], state, best=1)


def milliseconds(function):
    """Processor time of a call, the shortest of some, by sentence."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return round(1000 * min(times) / BATCH_SIZE, 3)


EXPERIMENTS = {
    "pairs": (pairs_keys, measure_pairs, SEEDS),
    "beyond": (beyond_keys, measure_beyond, SEEDS),
    "norm": (norm_keys, measure_norm, SEEDS),
    "time": (time_keys, measure_time, SEEDS[:1]),
}


# Tables -----------------------------------------------------------------------------------------


def of(found, experiment, key, *path):
    """A quantity of all seeds, such as of(found, "pairs", ("Luong", 500), "by_length", 0)."""
    values = []
    for seed in EXPERIMENTS[experiment][2]:
        value = found["rows"][name_of(experiment, key, seed)]
        for step in path:
            value = value[step]
        values.append(value)
    return values


def name_of(experiment, key, seed):
    """The name of a row: "pairs/Luong/500/seed 0"."""
    return "/".join(map(str, (experiment, *key, f"seed {seed}")))


def pairs_table(found):
    """BLEU by the number of pairs and, for the largest number, by the length of the source."""
    parts = [(count, "all", ("bleu",)) for count in PAIRS]
    for i, (low, high) in enumerate(itertools.pairwise(EDGES)):
        parts.append((PAIRS[-1], f"{low + 1} to {high} tokens", ("by_length", i)))
    rows = [["pairs to learn from", "translated sources", *MODELS]]
    for count, sources, path in parts:
        cells = [spread(of(found, "pairs", (name, count), *path)) for name in MODELS]
        rows.append([f"{count:,}", sources, *cells])
    return rows


def beyond_table(found):
    """BLEU up to and beyond the length of training."""
    rows = [["positions", f"up to {LONGEST} tokens", f"{LONGEST + 1} to {BEYOND} tokens"]]
    for name in POSITIONS:
        cells = [of(found, "beyond", (name,), what) for what in ("bleu", "beyond")]
        rows.append([name, *map(spread, cells)])
    return rows


def norm_table(found):
    """BLEU by the place of the norm, with and without warm-up."""
    before, after, after_warm = (of(found, "norm", key, "bleu") for key in NORMS)
    before_warm = of(found, "pairs", ("Transformer", PAIRS[-1]), "bleu")  # the same model
    return [
        ["norm", "no warm-up", f"{WARM_UP} steps of warm-up"],
        ["before each part", spread(before), spread(before_warm)],
        ["after each sum", spread(after), spread(after_warm)],
    ]


def time_table(found):
    """Milliseconds a sentence by length, and parameters."""
    rows = [["model", "parameters", "", *(f"{length} tokens" for length in LENGTHS)]]
    for name in MODELS:
        for what in ("training", "prediction"):
            times = of(found, "time", (name,), what)[0]
            parameters = f"{of(found, 'time', (name,), 'parameters')[0]:,}"
            rows.append([name, parameters, what, *(f"{value:.2g}" for value in times)])
    return rows


TABLES = {
    "pairs": (pairs_table, "BLEU on held-out sentences"),
    "beyond": (beyond_table, f"BLEU; learned from sentences of up to {LONGEST} tokens"),
    "norm": (norm_table, "BLEU of the Transformer"),
    "time": (time_table, f"milliseconds a sentence, one thread, batches of {BATCH_SIZE}"),
}


def table(found, what):
    """A table, as the chapter shows it."""
    make, title = TABLES[what]
    note = f"{title}; PyTorch {found['version']}"
    if what != "time":
        note += f", mean of {len(SEEDS)} trainings (lowest–highest)"
    return f"*Written by `make transformer`: {note}.*\n\n{markdown(make(found))}"


def region(what):
    """Pattern of a table in the chapter."""
    start = rf'<!-- #region evidence="side-{what}" -->\n'
    return re.compile(rf"({start})\*Written by `make transformer`[^<]*(?=<!-- #endregion -->)")


def main():
    import torch

    from d2l_ext import torch as d2l

    torch.set_num_threads(1)
    found = {"rows": {}}
    if RESULTS.exists():
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
    found["version"] = metadata.version("torch").partition("+")[0]
    for experiment, (keys, measure, seeds) in EXPERIMENTS.items():
        for seed in seeds:
            for key in keys():
                name = name_of(experiment, key, seed)
                if name not in found["rows"]:
                    found["rows"][name] = measure(d2l, seed, *key)
                    print(name, found["rows"][name], flush=True)
                    write_results(RESULTS, found, indent=1)
    for what in TABLES:
        write_table(CHAPTER, region(what), table(found, what))


if __name__ == "__main__":
    main()
