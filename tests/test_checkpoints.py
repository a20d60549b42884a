"""A training that is stopped goes on and ends where an undisturbed one does."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from d2l_ext.checkpoints import Checkpoint
from tests import tiny
from tests.processes import ROOT

KIND = ("attention", 1, False)  # dropout on attention
NUM_EPOCHS, BATCH_SIZE = 3, 14  # 3 steps an epoch, of which the last has 12 pairs


class StopError(Exception):
    """Whatever ends a process."""


class Stopping:
    """A corpus that raises `StopError` when so many of its training batches have been read."""

    def __init__(self, corpus, after):
        self.corpus, self.left = corpus, after

    def __getattr__(self, name):
        return getattr(self.corpus, name)

    def batches(self, split, batch_size, **options):
        for batch in self.corpus.batches(split, batch_size, **options):
            if split == "train":
                if self.left == 0:
                    raise StopError
                self.left -= 1
            yield batch


def train(framework, folder, every, after=10**9, **options):
    """Train a new model; its `weights` and the losses of each epoch."""
    model = tiny.new_model(framework, *KIND, dropout=0.5)
    options = {"num_epochs": NUM_EPOCHS, "batch_size": BATCH_SIZE, "warmup": 2} | options
    history = framework.d2l.train_seq2seq(
        model,
        Stopping(tiny.corpus(), after),
        progress=False,
        checkpoint=Checkpoint(folder, every),
        **options,
    )
    return framework.d2l.get_weights(model), [record[:2] for record in history]


def same(found, expected):
    assert found[1] == expected[1]
    assert found[0].keys() == expected[0].keys()
    for name, array in expected[0].items():
        np.testing.assert_array_equal(found[0][name], array, err_msg=name)


def test_a_training_goes_on_wherever_it_was_stopped(framework, tmp_path):
    expected = train(framework, tmp_path / "undisturbed", every=2)
    assert len(expected[1]) == NUM_EPOCHS
    # before the first checkpoint, at one, at the end of an epoch
    for after in (1, 4, 6):
        folder = tmp_path / str(after)
        with pytest.raises(StopError):
            train(framework, folder, 2, after)
        assert [path.name for path in folder.iterdir()] == ["checkpoint.safetensors"][: after // 2]
        same(train(framework, folder, 2), expected)


def test_a_finished_training_is_not_made_again(framework, tmp_path):
    expected = train(framework, tmp_path, every=3)
    same(train(framework, tmp_path, every=3), expected)


KILLED = """
import sys
from tests import frameworks, test_checkpoints
name, folder = sys.argv[1:]
(framework,) = [f for f in frameworks.UNDER_TEST if f.name == name]
test_checkpoints.train(framework, folder, 1, num_epochs=60)
"""


def test_a_process_may_be_killed_at_any_moment(framework, tmp_path):
    expected = train(framework, tmp_path / "undisturbed", every=1, num_epochs=60)
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, framework.name, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ)
    try:
        while not (folder / "checkpoint.safetensors").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(random.random() / 4)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    same(train(framework, folder, every=1, num_epochs=60), expected)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.safetensors"]


@pytest.fixture(scope="module")
def stopped(framework, tmp_path_factory):
    """The folder of a training that was stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(StopError):
        train(framework, folder, every=2, after=4)
    return folder


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"lr": 0.5}, "lr is 0.005 there and 0.5 here"),
        ({"seed": 7}, "seed is 0 there and 7 here"),
        ({"every": 3}, "every is 2 there and 3 here"),
        ({"num_epochs": 9}, "num_epochs is 3 there and 9 here"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(framework, stopped, options, complaint):
    before = (stopped / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ValueError, match=complaint):
        train(framework, stopped, **{"every": 2} | options)
    assert (stopped / "checkpoint.safetensors").read_bytes() == before


def test_other_weights_another_corpus_another_framework_are_refused(framework, stopped, tmp_path):
    d2l, checkpoint = framework.d2l, Checkpoint(stopped, 2)
    options = {"progress": False, "checkpoint": checkpoint, "warmup": 2}

    def refused(model, corpus, complaint):
        with pytest.raises(ValueError, match=complaint):
            d2l.train_seq2seq(model, corpus, NUM_EPOCHS, BATCH_SIZE, **options)

    refused(
        tiny.new_model(framework, "plain", 1, False), tiny.corpus(), "decoder.* there and .* here"
    )
    model = tiny.new_model(framework, *KIND, dropout=0.5)
    shorter = tiny.corpus()
    object.__setattr__(shorter, "train", shorter.train[:29])
    refused(model, shorter, "corpus is tiny .* there and tiny .* here")
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(stopped / path.name, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    there = f'"framework": "{framework.library}"'
    assert there in metadata["kept"]
    metadata["kept"] = metadata["kept"].replace(there, '"framework": "abacus"')
    save_file(arrays, path, metadata)
    options["checkpoint"] = Checkpoint(tmp_path, 2)
    refused(model, tiny.corpus(), f"framework is abacus there and {framework.library} here")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    from d2l_ext import checkpoints

    (tmp_path / checkpoints.FILE).write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"is no checkpoint of this release .*; delete it"):
        Checkpoint(tmp_path)._read()
    save_file({"losses": np.zeros(1)}, tmp_path / checkpoints.FILE, {"format_version": "9"})
    with pytest.raises(ValueError, match="format version 9"):
        Checkpoint(tmp_path)._read()


@pytest.mark.parametrize("every", [0, 1.5, True, None, "3"])
def test_steps_between_checkpoints_are_a_whole_number(tmp_path, every):
    with pytest.raises(ValueError, match=f"every is {every!r}; expected a positive number"):
        Checkpoint(tmp_path, every)


def test_a_file_is_no_folder_for_checkpoints(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file' is a file; expected a folder"):
        Checkpoint(tmp_path / "file")
    assert Checkpoint(tmp_path / "new", np.int64(2)).every == 2
