"""What is measured, and shown to readers. Not part of the library."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from d2l_ext import files, weights

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = {"pytorch": "torch", "mxnet": "mxnet", "jax": "jax", "tensorflow": "tensorflow"}
NAMES = {"pytorch": "PyTorch", "mxnet": "MXNet", "jax": "JAX", "tensorflow": "TensorFlow"}


def configuration(corpus, **others):
    """Configuration of a model with a one-way encoder; `others` are what it needs beside."""
    return {
        "src_vocab_size": len(corpus.src_vocab),
        "tgt_vocab_size": len(corpus.tgt_vocab),
        "bidirectional": False,
        **others,
    }


def first_model(d2l, config, seed):
    """A model with first weights that every framework can be given."""
    model = d2l.new_model(config)
    d2l.set_weights(model, weights.draw(config, seed))
    return model


def times(function, repeats, warm_up=1):
    """Seconds of each call of a function, behind calls that do not count."""
    for _ in range(warm_up):
        function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def median_seconds(function, repeats, warm_up=1):
    """Median time of a function, behind calls that do not count."""
    return statistics.median(times(function, repeats, warm_up))


def in_own_process(module, contestant, *options, **variables):
    """What `python -m MODULE --worker CONTESTANT OPTIONS` prints in its last line, from JSON.

    Args:
        variables: of the process's environment, besides those of this one.

    Raises:
        RuntimeError: if it fails; the message has what it wrote to stderr.
    """
    command = [sys.executable, "-m", module, "--worker", contestant, *options]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{contestant} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def write_results(path, found, **options):
    """Keep what was measured, whole or not at all; `options` are those of `json.dumps`."""
    text = json.dumps(found, **{"indent": 2} | options) + "\n"
    files.write_whole(path, text.encode())


def markdown(rows):
    """A table; the first row is its header."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def spread(scores, digits=1):
    """The mean of scores and, behind it, the lowest and the highest; nothing for None."""
    if None in scores:
        return ""
    low, mean, high = min(scores), statistics.mean(scores), max(scores)
    if len(scores) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def write_table(chapter, region, table):
    """Put a table into a chapter in place of the one before.

    Args:
        chapter: the chapter's file.
        region: compiled pattern of the old table, whose first group stays in front of the new one.
        table: Markdown.

    Raises:
        ValueError: if the chapter does not have exactly one such table.
    """
    text, count = region.subn(
        lambda found: f"{found[1]}{table}\n", chapter.read_text(encoding="utf-8")
    )
    if count != 1:
        raise ValueError(f"{chapter} has {count} tables like {region.pattern}; expected 1")
    files.write_whole(chapter, text.encode())
