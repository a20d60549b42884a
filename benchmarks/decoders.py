"""Trains every decoder of chapter 07 under one budget and writes the chapter's tables.

`python -m benchmarks.decoders scores` trains each in PyTorch with five seeds, which draw the first
weights and the order of the pairs; the pairs are the same throughout. `python -m
benchmarks.decoders longer` trains some of them four times as long, with three of the seeds.
`python -m benchmarks.decoders jax` times a step of each in JAX. `make decoders` does all of this.
What was measured stands in benchmarks/decoders/<what>.json and, as a table, in the chapter.
"""

import argparse
import importlib
import json
import re
from importlib import metadata
from pathlib import Path

from benchmarks import (
    LIBRARIES,
    NAMES,
    ROOT,
    configuration,
    first_model,
    markdown,
    median_seconds,
    spread,
    write_results,
    write_table,
)
from d2l_ext import corpora, metrics, weights

RESULTS = Path(__file__).with_name("decoders")
CHAPTER = ROOT / "notebooks" / "07_global_attention.md"
SIZES = {"embed_size": 64, "num_hiddens": 128, "num_layers": 1, "dropout": 0.0}
NUM_EPOCHS, BATCH_SIZE, MAX_STEPS, WINDOW = 2, 64, 16, 3
LONG = 12  # tokens from which a sentence counts as long
ALIGNED = 500  # held-out pairs whose alignment is scored
TIMED_STEPS, WARM_UP = 15, 3


def variants():
    """Yield (name of the decoder, input feeding or None, configuration, whether it is scaled)."""
    yield "no attention", None, {"kind": "plain"}, False
    yield "Bahdanau", None, {"kind": "attention"}, False
    looks = [(f"global, {score}", {"score": score, "local": None}) for score in weights.SCORES]
    looks += [
        (f"local, {alignment}", {"score": "general", "local": alignment})
        for alignment in weights.ALIGNMENTS
    ]
    for name, look in looks:
        for feeding in (False, True):
            options = {"kind": "global", "input_feeding": feeding, "window": WINDOW, **look}
            yield name, feeding, options, False
    for score in ("dot", "general"):
        options = {"score": score, "input_feeding": False, "local": None, "window": WINDOW}
        yield f"global, {score}, scaled", False, {"kind": "global", **options}, True


def trained_longer():
    """Yield those of the variants that are trained four times as long, too."""
    for variant in variants():
        name, feeding, *_ = variant
        if not feeding or name == "global, general":
            yield variant


TRAININGS = {  # what is trained, for how many epochs, from which seeds
    "scores": (variants, NUM_EPOCHS, range(5)),
    "longer": (trained_longer, 4 * NUM_EPOCHS, range(3)),
}


def scale(d2l, model, score):
    """Divide the scores of a model's attention by the square root of the states' size."""

    class ScaledAttention(d2l.GlobalAttention):
        def score(self, queries, projected_keys):
            return super().score(queries, projected_keys) / SIZES["num_hiddens"] ** 0.5

    model.decoder.attention.__class__ = ScaledAttention
    return model


def load():
    return corpora.load("grammar", max_steps=MAX_STEPS)


def build(d2l, corpus, options, scaled, seed=0):
    """Make a variant's model with its first weights."""
    model = first_model(d2l, configuration(corpus, **SIZES, **options), seed)
    return scale(d2l, model, options["score"]) if scaled else model


def scores(d2l, found, num_epochs, seeds):
    """Train and score variants, once for each seed.

    Args:
        d2l: `d2l_ext.torch`.
        found: what yields the variants.
        num_epochs: passes over the training pairs.
        seeds: the numbers that the trainings start from.

    Returns:
        List of rows.
    """
    corpus = load()
    rows = []
    for name, feeding, options, scaled in found():
        row = {"decoder": name, "input_feeding": feeding, "bleu": [], "bleu_long": [], "aer": []}
        for seed in seeds:
            model = build(d2l, corpus, options, scaled, seed)
            d2l.train_seq2seq(model, corpus, num_epochs, BATCH_SIZE, seed=seed, progress=False)
            for key, score in quality(d2l, model, corpus).items():
                row[key].append(score)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def times(d2l):
    """Time a step of every variant.

    Args:
        d2l: the framework's module.

    Returns:
        List of rows.
    """
    corpus = load()
    rows = []
    for name, feeding, options, scaled in variants():
        row = {"decoder": name, "input_feeding": feeding}
        row["milliseconds"] = milliseconds(d2l, build(d2l, corpus, options, scaled), corpus)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def results(what):
    """Return what was measured: "scores", "longer", or a framework's times."""
    return json.loads((RESULTS / f"{what}.json").read_text(encoding="utf-8"))


def quality(d2l, model, corpus):
    """BLEU on all held-out sentences and on the long ones; the alignment error rate, or None."""
    sources = [pair.source for pair in corpus.test]
    references = [pair.target for pair in corpus.test]
    tokens = [result.tokens for result in d2l.translate(model, sources)]
    long = [i for i, source in enumerate(sources) if len(source) >= LONG]
    pairs = corpus.test[:ALIGNED]
    batch = corpora.pad_batch(pairs, corpus.src_vocab, corpus.tgt_vocab)
    _, attention = d2l.teacher_forcing(model, batch.src, batch.src_valid_len, batch.tgt_in)
    aer = None
    if attention is not None:
        own = [
            array[: len(pair.target), : len(pair.source)] for array, pair in zip(attention, pairs)
        ]
        aer = round(metrics.alignment_error_rate(own, [pair.alignment for pair in pairs]), 3)
    return {
        "bleu": round(metrics.bleu(tokens, references), 1),
        "bleu_long": round(
            metrics.bleu([tokens[i] for i in long], [references[i] for i in long]), 1
        ),
        "aer": aer,
    }


def milliseconds(d2l, model, corpus):
    """Median time of a training step with a batch of the longest sentences."""
    pairs = sorted(corpus.train, key=lambda pair: len(pair.source))[-BATCH_SIZE:]
    batch = corpora.pad_batch(pairs, corpus.src_vocab, corpus.tgt_vocab)
    train_step = model.make_steps(lambda step: 0.005, 1.0).train
    # fetching the loss waits for the step
    seconds = median_seconds(lambda: float(train_step(batch)), TIMED_STEPS, WARM_UP)
    return round(1000 * seconds, 1)


def table(what):
    """Return a table in Markdown, as the chapter shows it; `what` as for `results`."""
    found = results(what)
    if what in TRAININGS:
        _, num_epochs, seeds = TRAININGS[what]
        header = ["BLEU", f"BLEU, {LONG} tokens and more", "alignment error rate"]
        condition = f"{num_epochs} epochs, mean of {len(seeds)} trainings (lowest–highest)"
    else:
        header, condition = ["ms a step"], "two CPU cores"
    rows = [["decoder", "input feeding", *header]]
    for row in found["rows"]:
        feeding = {None: "", False: "no", True: "yes"}[row["input_feeding"]]
        if what in TRAININGS:
            cells = [spread(row["bleu"]), spread(row["bleu_long"]), spread(row["aer"], digits=2)]
        else:
            cells = [f"{row['milliseconds']:.0f}"]
        rows.append([row["decoder"], feeding, *cells])
    version = f"{NAMES[found['framework']]} {found['version']}"
    return f"*Written by `make decoders`: {version}, {condition}.*\n\n{markdown(rows)}"


def region(what):
    """Return the pattern of a table in the chapter, to find or replace it."""
    evidence = {"scores": "decoders", "longer": "decoders-longer"}
    marker = f'evidence="{evidence[what]}"' if what in evidence else f'tab="{what}"'
    start = rf"<!-- #region {marker} -->\n(?=\*Written by `make decoders`)"
    return re.compile(f"({start})[^<]*(?=<!-- #endregion -->)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*TRAININGS, *LIBRARIES])
    what = parser.parse_args().what
    framework = "pytorch" if what in TRAININGS else what
    library = LIBRARIES[framework]
    d2l = importlib.import_module(f"d2l_ext.{library}")
    version = metadata.version(library).partition("+")[0]
    rows = scores(d2l, *TRAININGS[what]) if what in TRAININGS else times(d2l)
    RESULTS.mkdir(exist_ok=True)
    found = {"framework": framework, "version": version, "rows": rows}
    write_results(RESULTS / f"{what}.json", found)
    write_table(CHAPTER, region(what), table(what))


if __name__ == "__main__":
    main()
