"""Trains every decoder of chapter 07 under one budget and writes the chapter's tables.

`python -m benchmarks.decoders jax` measures in JAX; `make decoders` does it in all four, one after
the other. What was measured stands in benchmarks/decoders/<framework>.json, and, as a table, in
the framework's tab of the chapter. With `--times`, only the steps are timed again, which takes a
minute: scores do not depend on what else a machine does, times do.
"""

import argparse
import importlib
import json
import re
from importlib import metadata
from pathlib import Path

from benchmarks import LIBRARIES, NAMES, ROOT, configuration, markdown, median_seconds
from d2l_ext import corpora, files, metrics, weights

RESULTS = Path(__file__).with_name("decoders")
CHAPTER = ROOT / "notebooks" / "07_global_attention.md"
SIZES = {"embed_size": 64, "num_hiddens": 128, "num_layers": 1, "dropout": 0.0}
NUM_EPOCHS, BATCH_SIZE, MAX_STEPS, SEED, WINDOW = 2, 64, 16, 0, 3
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


def scale(d2l, model, score):
    """Divide the scores of a model's attention by the square root of the states' size."""

    class ScaledAttention(d2l.GlobalAttention):
        def score(self, queries, projected_keys):
            return super().score(queries, projected_keys) / SIZES["num_hiddens"] ** 0.5

    model.decoder.attention.__class__ = ScaledAttention
    return model


def load():
    return corpora.load("grammar", max_steps=MAX_STEPS, seed=SEED)


def build(d2l, corpus, options, scaled):
    """Make a variant's model with its first weights."""
    config = configuration(corpus, **SIZES, **options)
    model = d2l.new_model(config)
    if scaled:
        model = scale(d2l, model, options["score"])
    d2l.set_weights(model, weights.draw(config, SEED))
    return model


def measure(d2l, framework):
    """Train, score and time every variant.

    Args:
        d2l: the framework's module.
        framework: "pytorch", "mxnet", "jax" or "tensorflow".

    Returns:
        Dict of the framework's version and of a list of rows.
    """
    corpus = load()
    rows = []
    for name, feeding, options, scaled in variants():
        model = build(d2l, corpus, options, scaled)
        d2l.train_seq2seq(model, corpus, NUM_EPOCHS, BATCH_SIZE, seed=SEED, progress=False)
        row = {"decoder": name, "input_feeding": feeding, **quality(d2l, model, corpus)}
        rows.append({**row, "milliseconds": milliseconds(d2l, model, corpus)})
        print(framework, json.dumps(rows[-1]), flush=True)
    return {"version": metadata.version(LIBRARIES[framework]).partition("+")[0], "rows": rows}


def time_again(d2l, framework):
    """Time every variant of what was measured before.

    Args and returns as in `measure`.
    """
    corpus = load()
    found = results(framework)
    for row, (_, _, options, scaled) in zip(found["rows"], variants(), strict=True):
        row["milliseconds"] = milliseconds(d2l, build(d2l, corpus, options, scaled), corpus)
    return found


def results(framework):
    """Return what was measured in a framework."""
    return json.loads((RESULTS / f"{framework}.json").read_text(encoding="utf-8"))


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
    train_step, _ = model.make_steps(0.005, 1.0, TIMED_STEPS + WARM_UP, SEED)
    # fetching the loss waits for the step
    seconds = median_seconds(lambda: float(train_step(batch)), TIMED_STEPS, WARM_UP)
    return round(1000 * seconds, 1)


def table(framework):
    """Return a framework's table in Markdown, as the chapter shows it."""
    found = results(framework)
    header = ["decoder", "input feeding", "BLEU", f"BLEU, {LONG} tokens and more"]
    rows = [[*header, "alignment error rate", "ms a step"]]
    for row in found["rows"]:
        feeding = {None: "", False: "no", True: "yes"}[row["input_feeding"]]
        aer = "" if row["aer"] is None else f"{row['aer']:.2f}"
        cells = [
            row["decoder"],
            feeding,
            f"{row['bleu']:.1f}",
            f"{row['bleu_long']:.1f}",
            aer,
            f"{row['milliseconds']:.0f}",
        ]
        rows.append(cells)
    version = f"{NAMES[framework]} {found['version']}"
    return f"*Written by `make decoders`: {version}, two CPU cores.*\n\n{markdown(rows)}"


def region(framework):
    """Return the pattern of what the chapter shows in a framework's tab, to find or replace it."""
    start = re.escape(f'<!-- #region tab="{framework}" -->\n') + r"\*Written by `make decoders`"
    return re.compile(f"({start})[^<]*(<!-- #endregion -->)")


def write_table(framework):
    """Put a framework's table into the chapter in place of the one before."""
    text = CHAPTER.read_text(encoding="utf-8")
    start = f'<!-- #region tab="{framework}" -->\n'
    text, count = region(framework).subn(
        lambda found: f"{start}{table(framework)}\n{found[2]}", text
    )
    if count != 1:
        raise ValueError(f"{CHAPTER} has {count} tables for {framework}; expected 1")
    files.write_whole(CHAPTER, text.encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=LIBRARIES)
    parser.add_argument("--times", action="store_true", help="time the steps again, only that")
    args = parser.parse_args()
    d2l = importlib.import_module(f"d2l_ext.{LIBRARIES[args.framework]}")
    found = (time_again if args.times else measure)(d2l, args.framework)
    RESULTS.mkdir(exist_ok=True)
    files.write_whole(
        RESULTS / f"{args.framework}.json", (json.dumps(found, indent=2) + "\n").encode()
    )
    write_table(args.framework)


if __name__ == "__main__":
    main()
