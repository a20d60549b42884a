"""Learns few sentences by heart, with and without attention, and writes chapter 05's table.

`make bottleneck` trains in PyTorch, each model once for each seed, which draws its first weights
and the order of the pairs. The models are those of the chapter, with a small and a large state;
the pairs are few and seen so often that a model knows them by heart if it ever will. What a state
can hold shows on these, what has been learned from them on others. What was measured stands in
benchmarks/bottleneck.json.
"""

import dataclasses
import json
import re
from importlib import metadata
from pathlib import Path

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
CHAPTER = ROOT / "notebooks" / "05_bahdanau_decoder.md"
REGION = re.compile(
    r"(<!-- #region evidence=\"by-heart-seeds\" -->\n)\*Written by[^<]*(?=<!-- #endregion -->)"
)
NUM_PAIRS, NUM_EPOCHS, BATCH_SIZE, LR, SEEDS = 500, 60, 20, 0.01, range(5)
SHORT, LONG, MAX_STEPS = 5, 14, 16  # tokens up to and from which a sentence is short or long
DECODERS = {"no attention": "plain", "attention": "attention"}


def measure(d2l):
    """Train each model once for each seed.

    Args:
        d2l: `d2l_ext.torch`.

    Returns:
        Dict of PyTorch's version and of a list of rows.
    """
    corpus = corpora.load("grammar", max_steps=MAX_STEPS)
    # training judges the validation pairs after each of many epochs; nobody asks for that here
    corpus = dataclasses.replace(
        corpus, train=corpus.train[:NUM_PAIRS], validation=corpus.validation[:BATCH_SIZE]
    )
    rows = []
    for units in (32, 128):
        for decoder, kind in DECODERS.items():
            sizes = {"embed_size": 64, "num_hiddens": units, "num_layers": 1, "dropout": 0.0}
            config = configuration(corpus, kind=kind, bidirectional=True, **sizes)
            row = {"decoder": decoder, "units": units, "seen": [], "short": [], "long": []}
            row["new"] = []
            for seed in SEEDS:
                model = first_model(d2l, config, seed)
                d2l.train_seq2seq(
                    model, corpus, NUM_EPOCHS, BATCH_SIZE, LR, seed=seed, progress=False
                )
                for name, score in scores(d2l, model, corpus).items():
                    row[name].append(round(score, 1))
            rows.append(row)
            print(json.dumps(row), flush=True)
    return {"version": metadata.version("torch").partition("+")[0], "rows": rows}


def scores(d2l, model, corpus):
    """BLEU of the seen sentences, of the short and long ones among them, and of new ones."""
    chosen = {
        "seen": corpus.train,
        "short": [pair for pair in corpus.train if len(pair.source) <= SHORT],
        "long": [pair for pair in corpus.train if len(pair.source) >= LONG],
        "new": corpus.test,
    }
    return {
        name: metrics.bleu(
            [result.tokens for result in d2l.translate(model, [pair.source for pair in pairs])],
            [pair.target for pair in pairs],
        )
        for name, pairs in chosen.items()
    }


def table(found):
    """The table of what was measured, in Markdown, as the chapter shows it."""
    rows = [["decoder", "units", "seen", f"seen, up to {SHORT} tokens"]]
    rows[0] += [f"seen, {LONG} tokens and more", "new"]
    for row in found["rows"]:
        values = [spread(row[name]) for name in ("seen", "short", "long", "new")]
        rows.append([row["decoder"], str(row["units"]), *values])
    what = f"BLEU after {NUM_EPOCHS} epochs on {NUM_PAIRS} pairs in PyTorch {found['version']}"
    what = f"{what}; mean of {len(SEEDS)} trainings (lowest–highest)"
    return f"*Written by `make bottleneck`: {what}.*\n\n{markdown(rows)}"


def main():
    from d2l_ext import torch as d2l

    found = measure(d2l)
    write_results(RESULTS, found)
    write_table(CHAPTER, REGION, table(found))


if __name__ == "__main__":
    main()
