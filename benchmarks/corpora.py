"""How long a large corpus takes to load, what memory it needs, and how fast its batches come.

`make bench-corpora CORPUS=file` repeats the sentence pairs of a file of `source<TAB>target` lines,
with a running number behind each sentence so that all differ, and loads up to a million of them,
on Linux. Each load has a process of its own, and each first load an empty cache folder. It writes
benchmarks/corpora.json and docs/large_corpora.md.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks import ROOT, in_own_process, markdown, write_results
from d2l_ext import corpora, files, textfiles

RESULTS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "large_corpora.md"
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
BATCH_SIZE = 128
LONGEST = 20  # seconds of batches
WMT14 = 36_000_000  # pairs of its English and French
WORKERS = ("imports", "first", "later")  # a later load, behind which come batches
TARGETS = {  # for the largest size; the last is a lower bound
    "first": (90, "first load in at most 90 s"),
    "later": (3, "later loads in at most 3 s"),
    "peak": (600, "at most 600 MB"),
    "rate": (300_000, "batches of at least 300,000 tokens a second"),
}
GROWING = {  # columns to which a line is fitted
    "computing": "computing, s",
    "later": "later load, s",
    "peak": "memory, MB",
    "cached": "cache, MB",
}


def read(path):
    """The pairs of a file; its bad lines are left out."""
    bad = textfiles.BadLines("skip")
    return list(textfiles.columns(textfiles.lines(path), str(path), bad))


def repeated(pairs, count):
    """Yield so many lines: the pairs again and again, with a number behind both sentences."""
    for i, sides in enumerate(islice(cycle(pairs), count)):
        yield "\t".join(f"{text} {i}" for text in sides) + "\n"


def rate(corpus):
    """Tokens a second of the training pairs' batches: both sides, with <eos>, no padding."""
    tokens, start = 0, time.perf_counter()
    for batch in corpus.batches("train", BATCH_SIZE):
        tokens += int(batch.src_valid_len.sum() + batch.tgt_valid_len.sum())
        seconds = time.perf_counter() - start
        if seconds > LONGEST:
            break
    return tokens / seconds


def measure(worker, path):
    """What a process finds: seconds of its load, and of computing in it; its memory in MB."""
    import resource  # not on Windows

    found = {}
    if worker == "imports":
        import pooch  # noqa: F401
        import tokenizers  # noqa: F401
        import tqdm  # noqa: F401
    else:
        start, cpu = time.perf_counter(), time.process_time()
        corpus = corpora.load(path)
        found["seconds"] = time.perf_counter() - start
        found["computing"] = time.process_time() - cpu  # all threads together
        found["tokens"] = len(corpus.train.source.ids) + len(corpus.train.target.ids)
    if worker == "later":
        found["rate"] = rate(corpus)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"peak": kibibytes * 1024 / 1e6}


def loads(path):
    """What the first load of a file and a later one find, and the bytes that are cached."""
    with tempfile.TemporaryDirectory() as cache:
        found = {
            worker: in_own_process(
                "benchmarks.corpora", worker, "--corpus", str(path), XDG_CACHE_HOME=cache
            )
            for worker in WORKERS[1:]
        }
        cached = sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file())
    return found | {"cached": cached}


def row(runs):
    """The figures of a size: the fastest loads, the most memory."""
    first, later = (min((r[w] for r in runs), key=lambda r: r["seconds"]) for w in WORKERS[1:])
    return {
        "first": first["seconds"],
        "computing": first["computing"],
        "later": later["seconds"],
        "peak": max(r[worker]["peak"] for r in runs for worker in WORKERS[1:]),
        "cached": runs[0]["cached"] / 1e6,
        "rate": max(r["later"]["rate"] for r in runs),
    }


def missed(found):
    """Which targets the figures of a size miss."""
    return [
        key
        for key, (limit, _) in TARGETS.items()
        if (found[key] < limit if key == "rate" else found[key] > limit)
    ]


def line(sizes, values):
    """A straight line by relative error: its start, its slope, and how far off it is at most."""
    sizes, values = np.array(sizes), np.array(values)
    slope, start = np.polyfit(sizes, values, 1, w=1 / values)
    return start, slope, float(max(abs((start + slope * sizes) / values - 1)))


PAGE_TEXT = """\
# How large a corpus may be

Written by `make bench-corpora`; not edited by hand. The {pairs:,} sentence pairs of `{corpus}`,
repeated with a running number behind each sentence so that all differ, are loaded by
`corpora.load(path)` with its default options: it cuts them into subwords. Each load has a process
of its own. The first finds an empty cache folder, a later one what the first has left there; files
smaller than {threshold:.1f} MB are not cached, but read and cut again.

{table}

Each load was made {repeats} times, since others used the machine too, and the fastest counts.
*Computing* is the processor time of that first load, all threads together: as much as its seconds
if one core was at work, and more if two were. *Memory* is the most that any of the processes had,
batches included; a process that only imports what loading needs has {imports:.0f} MB. *Tokens a
second* are those of `corpus.batches("train", {batch})`, both sides, with `<eos>` and without
padding.

The targets, with {largest:,} pairs:

{targets}

## How it grows

Time, memory and cache grow along straight lines. Fitted by relative error to the files that are
cached, the lines are off by at most {worst:.0%}:

{lines}

WMT14 has {wmt:.0f} million pairs of English and French. So many of the length measured here
({tokens:.0f} tokens, both sides together) would by these lines take {first:.0f} minutes of
computing at first and {later:.0f} s later, {peak:.1f} GB of memory and {cached:.1f} GB of cache.
This is an extrapolation, to {times:.0f} times the largest file that was measured, and sentences
that are longer take more.

{machine}
"""


def page(result):
    """The page of a result, as `main` writes both."""
    rows = {int(size): row(runs) for size, runs in result["runs"].items()}
    table = [["pairs", "first load, s", "computing, s", "later load, s", "memory, MB"]]
    table[0] += ["cache, MB", "tokens a second"]
    for size, found in rows.items():
        table.append(
            [
                f"{size:,}",
                f"{found['first']:.1f}",
                f"{found['computing']:.1f}",
                f"{found['later']:.2f}",
                f"{found['peak']:.0f}",
                f"{found['cached']:.0f}",
                f"{found['rate']:,.0f}",
            ]
        )
    cached = [size for size, found in rows.items() if found["cached"]]
    lines = [["", "at the start", "for each million pairs", "off by at most"]]
    wmt, worst = {}, 0
    for key, name in GROWING.items():
        start, slope, off = line(cached, [rows[size][key] for size in cached])
        lines.append([name, f"{start:.3g}", f"{1e6 * slope:.3g}", f"{off:.0%}"])
        wmt[key], worst = start + slope * WMT14, max(worst, off)
    largest = max(rows)
    return PAGE_TEXT.format(
        pairs=result["pairs"],
        corpus=result["corpus"],
        threshold=corpora.CACHED_BYTES / 1e6,
        table=markdown(table),
        repeats=result["repeats"],
        imports=result["imports"],
        batch=BATCH_SIZE,
        largest=largest,
        targets="\n".join(
            f"- {what}: {'missed' if key in missed(rows[largest]) else 'met'}"
            for key, (_, what) in TARGETS.items()
        ),
        worst=worst,
        lines=markdown(lines),
        wmt=WMT14 / 1e6,
        tokens=result["runs"][str(largest)][0]["first"]["tokens"] / largest,
        first=wmt["computing"] / 60,
        later=wmt["later"],
        peak=wmt["peak"] / 1e3,
        cached=wmt["cached"] / 1e3,
        times=WMT14 / largest,
        machine=result["machine"],
    )


def machine():
    """What the figures were measured on."""
    cores = f"{len(os.sched_getaffinity(0))} CPU cores"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "tokenizers"))
    return f"Measured on {cores} in Python {platform.python_version()} with {versions}."


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="file of source<TAB>target")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.corpus)))
        return
    pairs = read(options.corpus)
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.txt"
        imports = in_own_process("benchmarks.corpora", "imports", "--corpus", str(path))["peak"]
        for size in SIZES:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(repeated(pairs, size))
            runs[str(size)] = []
            for _ in range(options.repeats):
                runs[str(size)].append(loads(path))
                print(f"{size:,} pairs: {json.dumps(runs[str(size)][-1])}", flush=True)
    result = {
        "corpus": options.corpus.name,
        "pairs": len(pairs),
        "repeats": options.repeats,
        "machine": machine(),
        "imports": imports,
        "runs": runs,
    }
    text = page(result)
    print(text)
    write_results(RESULTS, result)
    files.write_whole(PAGE, text.encode())


if __name__ == "__main__":
    main()
