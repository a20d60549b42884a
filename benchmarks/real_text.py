"""Translates real sentences, English, French and Chinese, in every framework.

`make real-text CORPORA=folder` looks in a folder, and the folders inside of it, for `fra.txt` and
`cmn.txt`, files of English<TAB>other lines, trains in every framework from the same first
weights, and in PyTorch with more seeds, which draw the first weights and the order of the pairs;
the pairs are the same throughout. Each training has a process of its own with one thread. It
writes benchmarks/real_text.json after each, so that what was interrupted goes on, and
docs/real_text.md.
"""

import argparse
import importlib
import json
import statistics
import time
from importlib import metadata
from pathlib import Path

from benchmarks import (
    LIBRARIES,
    NAMES,
    ROOT,
    configuration,
    first_model,
    in_own_process,
    markdown,
    spread,
    write_results,
)
from d2l_ext import corpora, files, metrics

RESULTS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "real_text.md"
DIRECTIONS = {  # file, whether it is read from right to left, what the page calls it
    "en-fr": ("fra.txt", False, "English → French"),
    "en-zh": ("cmn.txt", False, "English → Chinese"),
    "zh-en": ("cmn.txt", True, "Chinese → English"),
}
SIZES = {"embed_size": 128, "num_hiddens": 256, "num_layers": 1, "dropout": 0.3}
MAX_STEPS, NUM_EPOCHS, BATCH_SIZE, LR, BEAM = 30, 6, 64, 0.003, 4
SEEDS = range(3)  # in PyTorch; the others train with the first
SHOWN = 5  # good translations, and as many bad ones
LEAST = 5  # words of a sentence that is shown
INTRODUCTION = f"""\
# Real sentences

Written by `make real-text`; not edited by hand. Sentence pairs from Tatoeba (CC BY 2.0 FR), cut
into subwords as `corpora.load(path)` does it, on held-out sentences: the model of chapter 05 with
{SIZES["num_hiddens"]} units on either side, embeddings of {SIZES["embed_size"]}, dropout
{SIZES["dropout"]}, {NUM_EPOCHS} epochs, batches of {BATCH_SIZE}, sentences of up to
{MAX_STEPS} tokens. Every framework starts from the same weights and reads the pairs in the same
order; its dropout is its own. PyTorch was trained with {len(SEEDS)} seeds, which draw the weights
and the order: the mean (lowest–highest). *Minutes* are the processor's for the training, with one
thread. Sentences have lost their capital letters, the references too: the scores are not to be
compared with those of texts that keep them.

What comes out is right for short everyday sentences and often wrong for others. Fewer than 20,000
pairs of so many words are little: look at the losses in `benchmarks/real_text.json`, which are far
lower on the pairs that a model has learned from than on the held-out ones.

Below each table stand the translations with the highest and with the lowest chrF among the first
hundred held-out sentences of at least {LEAST} words, by a beam of {BEAM}. A low score need not be
a bad translation: there is one reference only, and most sentences can be said in other words."""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def trainings():
    """Yield the key of each training: framework, direction and seed."""
    for direction in DIRECTIONS:
        for framework in LIBRARIES:
            for seed in SEEDS if framework == "pytorch" else SEEDS[:1]:
                yield f"{framework} {direction} {seed}"


def find(folder, name):
    """The file of a name in a folder or the folders inside of it.

    Raises:
        FileNotFoundError: if there is none, or more than one.
    """
    found = sorted(Path(folder).rglob(name))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} holds {len(found)} files {name}; expected 1")
    return found[0]


def measure(key, path):
    """Train a model and translate the held-out sentences.

    Args:
        key: as `trainings` yields.
        path: the corpus's file.

    Returns:
        A row: numbers of pairs, losses, seconds of processor time, scores, and examples.
    """
    framework, direction, seed = key.split()
    d2l = importlib.import_module(f"d2l_ext.{LIBRARIES[framework]}")
    corpus = corpora.load(path, max_steps=MAX_STEPS, reverse=DIRECTIONS[direction][1])
    config = configuration(corpus, kind="attention", bidirectional=True, **SIZES)
    model = first_model(d2l, config, int(seed))
    start = time.process_time()
    history = d2l.train_seq2seq(
        model, corpus, NUM_EPOCHS, BATCH_SIZE, LR, seed=int(seed), progress=False
    )
    row = {
        "version": metadata.version(LIBRARIES[framework]).partition("+")[0],
        "pairs": [len(corpus.train), len(corpus.test)],
        "cpu_seconds": round(time.process_time() - start),
        "losses": [[round(e.train_loss, 3), round(e.validation_loss, 3)] for e in history],
    }
    sources = [pair.source for pair in corpus.test]
    join = corpus.tgt_vocab.detokenize
    references = [join(pair.target) for pair in corpus.test]
    for name, beam in (("greedy", 1), ("beam", BEAM)):
        found = [join(found.tokens) for found in d2l.translate(model, sources, beam_size=beam)]
        scores = metrics.score_texts(found, references, corpus.tgt_vocab.language)
        row[name] = {"bleu": round(scores.bleu, 1), "chrf": round(scores.chrf, 1)}
    row["tokenizer"] = scores.tokenizer
    texts = zip(map(corpus.src_vocab.detokenize, sources), found, references)
    return row | {"examples": examples([*texts])}


def examples(texts):
    """The best and the worst, by chrF, of the first hundred that are not too short.

    Args:
        texts: list of (source, translation, reference).

    Returns:
        Two lists of these.
    """
    from sacrebleu.metrics import CHRF

    scorer = CHRF()
    # English stands on one of the two sides
    long = [sides for sides in texts if max(len(s.split()) for s in sides[::2]) >= LEAST][:100]
    long.sort(key=lambda sides: scorer.sentence_score(sides[1], [sides[2]]).score)
    return long[: -SHOWN - 1 : -1], long[:SHOWN]


def row_of(framework, direction, rows):
    """A framework's line in a direction's table."""
    own = [row for key, row in rows.items() if key.startswith(f"{framework} {direction} ")]
    cells = [
        spread([row[search][score] for row in own])
        for search in ("greedy", "beam")
        for score in ("bleu", "chrf")
    ]
    minutes = statistics.mean(row["cpu_seconds"] for row in own) / 60
    name = f"{NAMES[framework]} {own[0]['version']}"
    return [name, str(len(own)), *cells, f"{minutes:.0f}"]


def page(rows):
    """The page of what was measured, in Markdown.

    Args:
        rows: dict from the keys of all trainings to their rows.
    """
    parts = [INTRODUCTION]
    for direction, (file, _, title) in DIRECTIONS.items():
        first = rows[f"pytorch {direction} 0"]
        train, test = first["pairs"]
        header = ["framework", "seeds", "BLEU, greedy", "chrF, greedy"]
        header += [f"BLEU, beam of {BEAM}", f"chrF, beam of {BEAM}", "minutes"]
        table = [header, *(row_of(framework, direction, rows) for framework in LIBRARIES)]
        parts += [
            f"## {title}",
            f"`{file}`: {train:,} pairs to learn from, {test:,} held out. BLEU is of sacrebleu "
            f"with its tokenizer `{first['tokenizer']}`.",
            markdown(table),
        ]
        for heading, chosen in zip(("good", "bad"), first["examples"]):
            lines = [["source", "translation", "reference"]]
            lines += [
                [text.replace("|", "\\|") or "(empty)" for text in sides] for sides in chosen
            ]
            parts += [f"The {SHOWN} {heading} ones (PyTorch, first seed):", markdown(lines)]
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", required=True, type=Path, help="the folder of both files")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        path = find(options.corpora, DIRECTIONS[options.worker.split()[1]][0])
        print(json.dumps(measure(options.worker, path)))
        return
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for key in trainings():
        if key not in rows:
            folder = ["--corpora", str(options.corpora.resolve())]
            rows[key] = in_own_process("benchmarks.real_text", key, *folder, **ONE_THREAD)
            print(key, {name: rows[key][name] for name in ("greedy", "beam", "cpu_seconds")})
            write_results(RESULTS, rows, indent=1, ensure_ascii=False)
    files.write_whole(PAGE, page(rows).encode())


if __name__ == "__main__":
    main()
