"""Several workers train as one does, and none is left when one of them dies."""

import contextlib
import copy
import itertools
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from d2l_ext import __main__ as command_line
from d2l_ext import compat, corpora, weights, workers
from tests import frameworks, reference, tiny
from tests.processes import ROOT
from tests.test_parity import BOUNDS, GRAD_CLIP, LR, SCALE, WEIGHTS_AFTER, difference

pytestmark = pytest.mark.skipif(os.name == "nt", reason="workers do not run on Windows")
KIND = tiny.PAPER


def uneven_corpus():
    """The pairs of `tiny.learning_batch`, of uneven lengths; one pair for validation."""
    pairs = [("aklbcd", "AB"), ("e", ""), ("fghi", "FGHI"), ("k", ""), ("bad", "BADCA")]
    pairs = [corpora.Pair(tuple(s), tuple(t)) for s, t in pairs]
    return corpora.ParallelCorpus(
        "uneven", pairs, pairs[2:3], [], tiny.SRC_VOCAB, tiny.TGT_VOCAB, 8
    )


def equal_corpus(size):
    """The same pair as often as there are workers."""
    pairs = size * [corpora.Pair(tuple("aklbcd"), tuple("ABC"))]
    return corpora.ParallelCorpus("equal", pairs, [], [], tiny.SRC_VOCAB, tiny.TGT_VOCAB, 8)


# Shares ------------------------------------------------------------------------------------------


class Recorded(np.ndarray):
    """An array that knows which of its places have been read."""

    def __getitem__(self, places):
        if isinstance(places, np.ndarray):
            self.read.update(places.tolist())
        return super().__getitem__(places).view(np.ndarray)


def test_each_worker_reads_its_share_and_no_more(tmp_path):
    corpora.save_arrays(tiny.corpus(), tmp_path / "arrays")
    read = []
    for rank in range(3):
        corpus = corpora.load_arrays(tmp_path / "arrays")
        for sentences in (corpus.train.source, corpus.train.target):
            assert isinstance(sentences.ids, np.memmap)
            sentences.ids = sentences.ids.view(Recorded)
            sentences.ids.read = set()
        for _ in corpora.Share(corpus, rank, 3).batches("train", 7, seed=1):
            pass
        read.append([corpus.train.source.ids.read, corpus.train.target.ids.read])
    rows = corpus.train.rows
    for side, sentences in enumerate((corpus.train.source, corpus.train.target)):
        places = [found[side] for found in read]
        total = sentences.lengths[rows].sum()
        assert len(set.union(*places)) == total  # everything, by somebody
        assert sum(map(len, places)) == total  # and nothing twice
        assert max(map(len, places)) < 0.45 * total


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_shares_of_a_batch_are_the_batch(size):
    corpus = tiny.corpus()
    shares = [corpora.Share(corpus, rank, size) for rank in range(size)]
    batches = zip(
        corpus.batches("train", 6, seed=3), *(s.batches("train", 6, seed=3) for s in shares)
    )
    for batch, *parts in batches:
        assert len({part.mine.src.shape for part in parts}) == 1
        assert parts[0].mine.src.shape[1] == batch.src.shape[1]
        assert parts[0].mine.tgt_in.shape[1] == batch.tgt_in.shape[1]
        rows = [
            sorted(zip(*(map(tuple, np.reshape(a, (len(a), -1))) for a in arrays)))
            for arrays in (batch, [np.concatenate(a) for a in zip(*(p.mine for p in parts))])
        ]
        real = [row for row in rows[1] if row[1] != (0,)]
        assert real == rows[0]
        assert all(row[4] == (0,) for row in rows[1] if row[1] == (0,))
        for part in parts:
            np.testing.assert_array_equal(part.tgt_valid_len, batch.tgt_valid_len)


@pytest.mark.parametrize(
    "rank, size, message",
    [
        (2, 2, "rank is 2; .* below size, 2"),
        (0.5, 2, "rank is 0.5"),
        (0, 2.0, "size is 2.0"),
        (0, 0, "size is 0"),
    ],
)
def test_a_worker_has_a_number_below_the_size(rank, size, message):
    with pytest.raises(ValueError, match=message):
        corpora.Share(tiny.corpus(), rank, size)


@pytest.mark.parametrize(
    "arguments, message",
    [
        *((("train", size), "batch_size is ") for size in (-2, 0, 2.5, "3")),
        (("nope", 3), "split is 'nope'"),
        (("train", 3, True, 0, 0), "multiple is 0"),
    ],
)
def test_a_share_checks_what_a_corpus_checks(arguments, message):
    corpus = tiny.corpus()
    for batches in (corpus.batches, corpora.Share(corpus, 0, 2).batches):
        with pytest.raises(ValueError, match=message):
            batches(*arguments)


def test_a_share_can_be_copied():
    share = corpora.Share(tiny.corpus(), 1, 2)
    for again in (copy.copy(share), pickle.loads(pickle.dumps(share))):
        assert (again.rank, again.size, again.name) == (1, 2, share.name)


def test_arrays_keep_the_corpus(tmp_path):
    corpus = tiny.corpus()
    corpora.save_arrays(corpus, tmp_path / "arrays")
    again = corpora.load_arrays(tmp_path / "arrays")
    assert list(again.train) == list(corpus.train)
    assert again.digest() == corpus.digest() and again.name == corpus.name
    with pytest.raises(OSError):
        corpora.save_arrays(corpus, tmp_path / "arrays")
    with pytest.raises(FileNotFoundError, match="is no folder that `save_arrays`"):
        corpora.load_arrays(tmp_path)
    (tmp_path / "arrays" / "train.npy").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"is damaged .* write it anew"):
        corpora.load_arrays(tmp_path / "arrays")


# The same training -------------------------------------------------------------------------------


def learn(worker, name, kind, num_steps, kept):
    """In a worker: train on the uneven batch, then on one with a single sentence."""
    from d2l_ext import corpora
    from tests import frameworks, test_workers, tiny
    from tests.test_parity import GRAD_CLIP, LR, SCALE

    framework = frameworks.FRAMEWORKS[name]
    single = tiny.new_model(framework, *kind, scale=SCALE)
    model = single if worker is None else d2l.ParallelSeq2Seq(single, worker)  # noqa: F821
    rate = framework.d2l.linear_schedule(LR, 100)
    steps = model.make_steps(rate, GRAD_CLIP)
    corpus = test_workers.uneven_corpus()
    if worker is not None:
        corpus = corpora.Share(corpus, worker.rank, worker.size)
    (batch,) = corpus.batches("train", 5, shuffle=False)
    (one,) = corpus.batches("validation", 5)
    losses, after = [], {}
    for step in range(1, num_steps + 1):
        losses.append(float(steps.train(batch)))
        if step in kept:
            after[step] = framework.d2l.get_weights(model)
    losses.append(float(steps.evaluate(batch)))
    losses += [float(steps.train(one)) for _ in range(2)]
    losses.append(float(steps.evaluate(one)))
    after["last"] = framework.d2l.get_weights(model)
    if worker is None or num_steps == 100:
        return losses, after, None
    single = tiny.new_model(framework, *kind, dropout=0.5)
    model = d2l.ParallelSeq2Seq(single, worker)  # noqa: F821
    same = corpora.Share(test_workers.equal_corpus(worker.size), worker.rank, worker.size)
    (part,) = same.batches("train", worker.size)
    steps = model.make_steps(rate, GRAD_CLIP)
    model.reseed(3)
    together, alone = float(steps.train(part)), None
    steps.train(batch)
    if worker.rank == 0 and name != "jax":  # which draws for all workers at once
        single = tiny.new_model(framework, *kind, dropout=0.5)
        single.reseed(3)
        alone = float(single.make_steps(rate, GRAD_CLIP).train(part.mine))
    return losses, after, (framework.d2l.get_weights(model), together, alone)


@pytest.mark.parametrize("size, num_steps", [(2, 100), (3, 10)])
def test_workers_train_as_one_does(framework, size, num_steps):
    """Against one process, and against the float64 reference, as `test_parity` does."""
    arguments = framework.name, KIND, num_steps, list(WEIGHTS_AFTER)
    losses, after, _ = learn(None, *arguments)
    results = workers.run(framework.name, learn, size, *arguments)
    assert len(results) == size
    exact = tiny.random_weights(*KIND, scale=SCALE)
    exact = reference.train(exact, tiny.learning_batch(), 100, LR, GRAD_CLIP, **tiny.local(KIND))
    exact = dict(enumerate(itertools.islice(exact, 10), start=1))  # it is slow
    for found_losses, found, with_dropout in results:
        np.testing.assert_allclose(found_losses, losses, rtol=BOUNDS["loss after 100 steps"])
        assert found.keys() == after.keys()
        for step, arrays in found.items():
            bound = BOUNDS[WEIGHTS_AFTER.get(step, WEIGHTS_AFTER[100])]
            assert difference(arrays, after[step]) < bound, step
            if step in exact:
                assert difference(arrays, exact[step]) < bound, step
        # Workers hold the very same weights
        assert difference(found["last"], results[0][1]["last"]) == 0
        if size == 3:
            arrays, together, alone = with_dropout
            assert difference(arrays, results[0][2][0]) == 0
            assert all(np.isfinite(array).all() for array in arrays.values())
            # A sentence that all have loses other units on each
            assert alone is None or abs(together - alone) > 1e-3


def test_the_mean_of_means_is_something_else(framework):
    """The training that the comparison above must not take for the right one."""
    batch = tiny.learning_batch()
    whole, gradients = framework.loss_and_gradients(
        tiny.new_model(framework, *KIND, scale=SCALE), batch
    )
    halves = []
    for rank in range(2):
        half = corpora.Batch(*(array[rank::2] for array in batch))
        model = tiny.new_model(framework, *KIND, scale=SCALE)
        halves.append((*framework.loss_and_gradients(model, half), half.tgt_valid_len.sum()))
    naive = {n: (halves[0][1][n] + halves[1][1][n]) / 2 for n in gradients}
    total = sum(count for *_, count in halves)
    right = {n: sum(g[n] * count for _, g, count in halves) / total for n in gradients}
    assert difference(right, gradients) < BOUNDS["gradients"]
    assert difference(naive, gradients) > 100 * BOUNDS["gradients"]
    assert abs((halves[0][0] + halves[1][0]) / 2 - whole) > 100 * BOUNDS["loss"] * whole


# The launcher ------------------------------------------------------------------------------------


def fail(worker):
    if worker.rank == 1:
        raise ValueError("rank 1 is unwell")
    worker.total(numpy.zeros(1, "float32"))  # noqa: F821
    worker.total(numpy.zeros(1, "float32"))  # noqa: F821


def test_a_worker_that_fails_is_named(framework):
    start = time.monotonic()
    with pytest.raises(workers.WorkerError, match=r"worker 1 of 2 .*: rank 1 is unwell") as caught:
        workers.run(framework.name, fail, 2)
    assert time.monotonic() - start < 300
    assert "raise ValueError" in caught.value.log


@pytest.mark.parametrize(
    "name, size, cores, message",
    [
        ("abacus", 2, None, "framework is 'abacus'"),
        (["jax"], 2, None, r"framework is \['jax'\]"),
        ("jax", 0, None, "size is 0"),
        ("jax", 1.5, None, "size is 1.5"),
        ("jax", "2", None, "size is '2'"),
        ("jax", 2, -1, "cores is -1"),
    ],
)
def test_what_cannot_be_launched_is_said(name, size, cores, message):
    with pytest.raises(ValueError, match=message):
        workers.launch(name, [], size, cores=cores)


@pytest.mark.parametrize("name", workers.VARIABLES)
def test_a_worker_without_its_engine_s_variables_says_which(name, tmp_path, monkeypatch, capsys):
    known = {variable for names in workers.VARIABLES.values() for variable in names}
    for variable in known & os.environ.keys():
        monkeypatch.delenv(variable)
    _, mine = by_hand(name, 2)
    assert set(workers.VARIABLES[name]) == {*mine[0]}
    train = ["train", f"--framework={name}", "--worker", f"--out={tmp_path / 'm'}"]
    for missing in workers.VARIABLES[name]:
        with monkeypatch.context() as patch:
            for variable, value in mine[0].items():
                if variable != missing:
                    patch.setenv(variable, value)
            assert command_line.main(train) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert f"not set: {missing}; docs/cluster.md" in line
    if name == "tensorflow":
        for value in ("{}", "worker 1", mine[0]["TF_CONFIG"].replace('"index": 0', '"index": 2')):
            monkeypatch.setenv("TF_CONFIG", value)
            assert command_line.main(train) == 2
            assert "names no worker of a cluster" in capsys.readouterr().err


def test_what_a_user_got_wrong_is_one_line(framework, tmp_path, monkeypatch, capsys):
    train = ["train", f"--framework={framework.name}", "--workers=2", f"--out={tmp_path / 'm'}"]
    monkeypatch.setattr(workers, "launch", None)  # is not called
    wrong = {
        "--arrays=/nonexistent": "is no folder that",
        "--kind=transformer --heads=3 --num-pairs=150 --max-steps=6": "does not divide",
    }
    for options, message in wrong.items():
        assert command_line.main([*train, *options.split()]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    monkeypatch.setitem(sys.modules, workers.LIBRARIES[framework.name], None)
    monkeypatch.delitem(sys.modules, workers.LIBRARIES[framework.name])
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: None)
    assert command_line.main(train) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not installed: run `pip install -r requirements/" in line


def wait_alone(worker):
    from d2l_ext import workers

    workers.PATIENCE = 2
    worker.__class__ = workers.patient(d2l.Worker)  # noqa: F821
    worker.total(numpy.ones(2, "float32"))  # noqa: F821
    if worker.rank == 0:
        worker.total(numpy.ones(2, "float32"))  # noqa: F821
    else:
        import time

        time.sleep(60)


@pytest.mark.skipif("mxnet" not in map(repr, frameworks.UNDER_TEST), reason="runs MXNet")
def test_mxnet_s_workers_do_not_wait_for_ever():
    start = time.monotonic()
    with pytest.raises(workers.WorkerError, match=r"worker 0 of 2 .* ended with status 1"):
        workers.run("mxnet", wait_alone, 2)
    assert time.monotonic() - start < 50


SRUN = """\
echo "srun $*" >> "$RECORD"
tasks=$SLURM_NTASKS
for word; do
    case $word in --ntasks=1) tasks=1 ;; -*) ;; *) break ;; esac
    shift
done
worst=0
for ((task = 0; task < tasks; task++)); do
    SLURM_PROCID=$task "$@" || worst=$?
done
exit $worst
"""
PYTHON = """\
echo "$* | $(env | grep -E '^(MASTER|WORLD|RANK|JAX|TF_CONFIG|DMLC)' | tr '\\n' ' ')" >> "$RECORD"
case $* in
    *--mxnet-role*)  # lasts until the workers are done
        for ((i = 0; i < 600; i++)); do [ -e "$RECORD.done" ] && exit; sleep 0.1; done; exit 9 ;;
    *"--framework mxnet"*)
        [ "$SLURM_PROCID$FAILS" = 1 ] && touch "$RECORD.done" ;;
esac
[ "$SLURM_PROCID" != "$FAILS" ]
"""


@pytest.mark.parametrize("fails", ["", "1"])
@pytest.mark.parametrize("title", ["PyTorch", "JAX", "TensorFlow", "MXNet"])
def test_the_page_s_slurm_scripts(title, fails, tmp_path):
    """With stand-ins for SLURM and Python: who is started, and what the job's status is."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    slurm = page.partition("## SLURM")[2].partition("## Kubernetes")[0]
    head, *blocks = re.findall(r"```bash\n(.*?)```", slurm, re.DOTALL)
    (block,) = (b for b in blocks if f"--framework {title.lower()}" in b)
    for name, text in {
        "srun": SRUN,
        "python": PYTHON,
        "scontrol": "printf 'first\nsecond\n'",
        "getent": "echo 10.0.0.1 STREAM first",
    }.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}")
        path.chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    record = tmp_path / "record"
    variables = {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "RECORD": str(record),
        "FAILS": fails,
        "SLURM_NTASKS": "2",
        "SLURM_JOB_NODELIST": "first,second",
    }
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", head + block], cwd=tmp_path, env=os.environ | variables, timeout=50
    )
    assert done.returncode == (1 if fails else 0)
    assert time.monotonic() - start < 20  # nothing waits for what will not come
    lines = record.read_text().splitlines()
    started = [line for line in lines if "--worker " in line and line.startswith("-m d2l_ext")]
    assert len(started) == 2 and all(f"--framework {title.lower()}" in s for s in started)
    assert all(f" {name}=" in s for s in started for name in workers.VARIABLES[title.lower()])
    assert len(set(started)) == (1 if title == "MXNet" else 2)  # its scheduler numbers them
    if title == "MXNet":
        roles = "".join(line for line in lines if line.startswith("-m d2l_ext.workers"))
        assert "DMLC_ROLE=scheduler" in roles and "DMLC_ROLE=server" in roles
    if title == "TensorFlow":
        configs = [json.loads(s.partition("TF_CONFIG=")[2]) for s in started]
        assert [c["task"]["index"] for c in configs] == [0, 1]
        assert configs[0]["cluster"] == {"worker": ["first:29500", "second:29500"]}


SMALL = [
    *("--num-pairs=150", "--epochs=8", "--batch-size=47", "--embed-size=8", "--num-hiddens=12"),
    "--max-steps=6",
]


class Marked:
    """A process whose descendants can be found by a variable that all inherit."""

    def __init__(self, *arguments, **variables):
        self.mark = f"D2L_EXT_TEST={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {name: value} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def alive(self):
        """Numbers and variables of the processes that are there."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_text(errors="replace").split("\0")
                if self.mark in environment:
                    found[int(folder.name)] = dict(v.partition("=")[::2] for v in environment if v)
        return found

    def workers(self):
        """Numbers of the processes that train."""
        roles = {"scheduler", "server"}
        found = {}
        for pid, environment in self.alive().items():
            number = environment.get("RANK") or environment.get(workers.NUMBER)
            if number is not None and number not in roles:
                found[number] = pid
        return found


linux = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")


def by_hand(name, size):
    """The variables of docs/cluster.md, for each process; the first are no workers of MXNet's."""
    ports = [str(port) for port in workers._free_ports(size)]
    if name == "pytorch":
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0], "WORLD_SIZE": str(size)}
        return [], [shared | {"RANK": str(rank)} for rank in range(size)]
    if name == "jax":
        shared = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{ports[0]}"}
        shared["JAX_NUM_PROCESSES"] = str(size)
        return [], [shared | {"JAX_PROCESS_ID": str(rank)} for rank in range(size)]
    if name == "tensorflow":
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        tasks = [{"type": "worker", "index": rank} for rank in range(size)]
        return [], [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": t})} for t in tasks]
    shared = {
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": ports[0],
        "DMLC_NUM_SERVER": "1",
        "DMLC_NUM_WORKER": str(size),
    }
    roles = [shared | {"DMLC_ROLE": role} for role in ("scheduler", "server")]
    return roles, [shared | {"DMLC_ROLE": "worker"}] * size


@linux
def test_a_killed_worker_is_named_and_those_started_by_hand_go_on(framework, tmp_path, capsys):
    out, folder, arrays = (tmp_path / name for name in ("m.safetensors", "so-far", "arrays"))
    here = ["-m", "d2l_ext", "train", f"--framework={framework.name}", f"--out={out}", *SMALL]
    here += [f"--checkpoint={folder}", "--checkpoint-every=1"]
    run = Marked(*here, "--workers=2")
    while not (folder / "checkpoint.safetensors").exists():
        assert run.process.poll() is None, run.process.communicate()
        time.sleep(0.02)
    time.sleep(random.random() / 2)
    number = random.choice("01")
    pid = run.workers()[number]
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    _, err = run.process.communicate(timeout=60)
    assert time.monotonic() - start < 60
    assert run.process.returncode == 2
    assert f"worker {number} of 2 (process {pid}) was killed" in err
    assert err.endswith("all others were ended; the same command goes on\n")
    assert not run.alive()
    assert not out.exists()

    prepare = ["prepare", f"--out={arrays}", "--num-pairs=150", "--max-steps=6"]
    assert command_line.main(prepare) == 0
    others, mine = by_hand(framework.name, 2)
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for variables in (*others, *mine) for name in variables)
    started = [Marked("-m", "d2l_ext.workers", "--mxnet-role", **v) for v in others]
    by_hand_too = [*here, "--worker", f"--arrays={arrays}", "--resume"]
    started += [Marked(*by_hand_too, **variables) for variables in mine]
    told = [run.process.communicate(timeout=300) for run in started]
    assert [run.process.returncode for run in started] == [0] * len(started), told
    told = "".join(out for out, _ in told)
    assert "going on from" in told and told.count("BLEU") == 1
    assert not any(run.alive() for run in started)

    alone = tmp_path / "alone.safetensors"
    arguments = ["train", f"--framework={framework.name}", f"--out={alone}", *SMALL]
    assert command_line.main(arguments) == 0
    bound = BOUNDS["weights after 100 steps"]
    assert difference(weights.load(out)[0], weights.load(alone)[0]) < bound


@linux
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_launcher(how, tmp_path):
    """Ctrl-C, `kill`, and even `kill -9` of the launcher, while its workers work."""
    pytest.importorskip("torch")
    out = tmp_path / "m.safetensors"
    arguments = ["train", "--framework=pytorch", "--workers=2", f"--out={out}", "--epochs=1000"]
    text = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('d2l_ext', run_name='__main__')"
    )
    run = Marked("-c", text, *arguments, "--num-pairs=150")
    while len(run.workers()) < 2:
        assert run.process.poll() is None, run.process.communicate()
        time.sleep(0.1)
    run.process.send_signal(how)
    _, err = run.process.communicate(timeout=60)
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert run.process.returncode == expected[how], err
    deadline = time.monotonic() + 10
    while run.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not run.alive()
    if how == signal.SIGINT:
        assert err == "d2l_ext: interrupted\n"
