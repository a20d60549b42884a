"""Trains every decoder of chapter 07 under one budget and writes the chapter's tables.

`python -m benchmarks.decoders jax` measures in JAX; `make decoders` does it in all four, one after
the other. What was measured stands in benchmarks/decoders/<framework>.json, and, as a table, in
the framework's tab of the chapter. Each decoder is trained once for each seed, which draws its
first weights and the order of the pairs; the pairs are the same. With `--times`, only the steps
are timed again, which takes a minute: scores do not depend on what else a machine does, times do.
With `--longer` all are trained four times as long, for a table outside of the tabs.
"""

import argparse
import importlib
import json
import re
import statistics
from importlib import metadata
from pathlib import Path

from benchmarks import LIBRARIES, NAMES, ROOT, configuration, markdown, median_seconds
from d2l_ext import corpora, files, metrics, weights

RESULTS = Path(__file__).with_name("decoders")
CHAPTER = ROOT / "notebooks" / "07_global_attention.md"
SIZES = {"embed_size": 64, "num_hiddens": 128, "num_layers": 1, "dropout": 0.0}
NUM_EPOCHS, BATCH_SIZE, MAX_STEPS, WINDOW = 2, 64, 16, 3
SEEDS = range(5)
LONGER_EPOCHS, LONGER_SEEDS = 4 * NUM_EPOCHS, range(3)
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
    return corpora.load("grammar", max_steps=MAX_STEPS)


def build(d2l, corpus, options, scaled, seed=0):
    """Make a variant's model with its first weights."""
    config = configuration(corpus, **SIZES, **options)
    model = d2l.new_model(config)
    if scaled:
        model = scale(d2l, model, options["score"])
    d2l.set_weights(model, weights.draw(config, seed))
    return model


def measure(d2l, framework, num_epochs=NUM_EPOCHS, seeds=SEEDS):
    """Train, score and time every variant.

    Args:
        d2l: the framework's module.
        framework: "pytorch", "mxnet", "jax" or "tensorflow".
        num_epochs: passes over the pairs.
        seeds: each variant is trained once for each.

    Returns:
        Dict of the framework's version and of a list of rows.
    """
    corpus = load()
    rows = []
    for name, feeding, options, scaled in variants():
        scores = []
        for seed in seeds:
            model = build(d2l, corpus, options, scaled, seed)
            d2l.train_seq2seq(model, corpus, num_epochs, BATCH_SIZE, seed=seed, progress=False)
            scores.append(quality(d2l, model, corpus))
        row = {"decoder": name, "input_feeding": feeding}
        row |= {key: [score[key] for score in scores] for key in scores[0]}
        rows.append({**row, "milliseconds": milliseconds(d2l, model, corpus)})
        print(framework, json.dumps(rows[-1]), flush=True)
    version = metadata.version(LIBRARIES[framework]).partition("+")[0]
    return {"framework": framework, "version": version, "rows": rows}


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
    train_step, _ = model.make_steps(0.005, 1.0, TIMED_STEPS + WARM_UP, seed=0)
    # fetching the loss waits for the step
    seconds = median_seconds(lambda: float(train_step(batch)), TIMED_STEPS, WARM_UP)
    return round(1000 * seconds, 1)


def spread(scores, digits=1):
    """The mean of scores and, behind it, the lowest and the highest; nothing for None."""
    if None in scores:
        return ""
    low, mean, high = min(scores), statistics.mean(scores), max(scores)
    return f"{mean:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def table(name):
    """Return a framework's table in Markdown, or that of "longer", as the chapter shows it."""
    found = results(name)
    longer = name == "longer"
    seeds, num_epochs = (LONGER_SEEDS, LONGER_EPOCHS) if longer else (SEEDS, NUM_EPOCHS)
    rows = [["decoder", "input feeding", "BLEU", f"BLEU, {LONG} tokens and more"]]
    rows[0] += ["alignment error rate", *([] if longer else ["ms a step"])]
    for row in found["rows"]:
        rows.append(
            [
                row["decoder"],
                {None: "", False: "no", True: "yes"}[row["input_feeding"]],
                spread(row["bleu"]),
                spread(row["bleu_long"]),
                spread(row["aer"], digits=2),
                *([] if longer else [f"{row['milliseconds']:.0f}"]),
            ]
        )
    version = f"{NAMES[found['framework']]} {found['version']}"
    what = f"{num_epochs} epochs in {version}; mean of {len(seeds)} trainings (lowest–highest)"
    return f"*Written by `make decoders`: {what}.*\n\n{markdown(rows)}"


def region(name):
    """Return the pattern of a table in the chapter, to find or replace it."""
    written = r"\*Written by `make decoders`: " + ("8" if name == "longer" else "2") + " epochs"
    if name == "longer":
        return re.compile(f"()(?<=\n){written}[^|]*(?:\\|.*\n)+")
    start = re.escape(f'<!-- #region tab="{name}" -->\n')
    return re.compile(f"({start}){written}[^<]*(?=<!-- #endregion -->)")


def write_table(name):
    """Put a table into the chapter in place of the one before."""
    text = CHAPTER.read_text(encoding="utf-8")
    text, count = region(name).subn(lambda found: f"{found[1]}{table(name)}\n", text)
    if count != 1:
        raise ValueError(f"{CHAPTER} has {count} tables for {name}; expected 1")
    files.write_whole(CHAPTER, text.encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=LIBRARIES)
    parser.add_argument("--times", action="store_true", help="time the steps again, only that")
    parser.add_argument("--longer", action="store_true", help="train four times as long")
    args = parser.parse_args()
    d2l = importlib.import_module(f"d2l_ext.{LIBRARIES[args.framework]}")
    name = "longer" if args.longer else args.framework
    if args.times:
        found = time_again(d2l, args.framework)
    elif args.longer:
        found = measure(d2l, args.framework, LONGER_EPOCHS, LONGER_SEEDS)
    else:
        found = measure(d2l, args.framework)
    RESULTS.mkdir(exist_ok=True)
    files.write_whole(RESULTS / f"{name}.json", (json.dumps(found, indent=2) + "\n").encode())
    write_table(name)


if __name__ == "__main__":
    main()
