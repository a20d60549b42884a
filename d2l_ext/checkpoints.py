"""Trainings that can stop at any moment, and go on to the weights they would have had.

A checkpoint is one file: the weights, what the optimizer remembers, the losses so far, and how far
the training is. It is replaced only when the next one is complete.
"""

import json
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from d2l_ext import files
from d2l_ext.arguments import is_integer

FILE = "checkpoint.safetensors"
FORMAT_VERSION = "1"
ASKED = ("num_epochs", "batch_size", "lr", "grad_clip", "seed", "warmup")


class Checkpoint:
    """A folder in which a training keeps where it is.

    Args:
        folder: of this training alone; it is made if there is none.
        every: steps between two checkpoints. After each the dropout is seeded anew, by `seed` and
            the step's number, since no framework's random state is read: a training with dropout
            ends with other weights if this number is another.
        leader: whether this process writes checkpoints; where several workers train together,
            one of them does, and all read.

    Raises:
        ValueError: if `every` is no positive integer.
        OSError: if the folder can neither be found nor made.
    """

    def __init__(
        self, folder: str | os.PathLike[str], every: int = 500, leader: bool = True
    ) -> None:
        if not is_integer(every) or every < 1:
            raise ValueError(f"every is {every!r}; expected a positive number of steps")
        self.folder, self.every, self.leader = Path(folder), int(every), leader
        if self.folder.is_file():
            raise NotADirectoryError(f"{str(folder)!r} is a file; expected a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / FILE

    def follow(self, model: Any, steps: Any, history: list, corpus: Any, asked: tuple) -> Any:
        """Take a training to where its checkpoint is, if there is one, and write those to come.

        Args:
            model: a `Seq2Seq` before its first step.
            steps: its `Steps`.
            history: the list to which the training appends an `EpochRecord` after each epoch; it
                gets those of the epochs that are done, as plain lists.
            corpus: `ParallelCorpus`.
            asked: the numbers that this training was asked to use, in the order of `ASKED`.

        Returns:
            `Steps`, of which `train` writes the checkpoints, and repeats the known losses of the
            batches of an unfinished epoch without looking at them.

        Raises:
            ValueError: if the checkpoint is damaged, or one of another training; the message names
                the first difference.
        """
        if self.leader:
            for unfinished in self.folder.glob(f".{FILE}.*.unfinished"):  # somebody killed it
                unfinished.unlink(missing_ok=True)
        settings = dict(zip(ASKED, asked, strict=True)) | self._settings(model, corpus)
        seed = settings["seed"]
        step, losses, known = 0, [], deque()
        if self.path.exists():
            arrays, kept = self._read()
            self._compare(kept["settings"], settings)
            step, losses = kept["step"], arrays.pop("losses").tolist()
            history += kept["history"]
            known.extend(losses)
            parts = {"weights": {}, "optimizer": {}}
            for name, array in arrays.items():
                part, _, name = name.partition("/")
                parts[part][name] = array
            model.import_weights(parts["weights"])
            steps.set_state(parts["optimizer"], step)
            model.reseed(_seed(seed, step))
        epoch = len(history)

        def train(batch):
            nonlocal step, epoch
            if known:
                return known.popleft()
            if epoch != len(history):
                epoch = len(history)
                losses.clear()
            losses.append(steps.train(batch))
            step += 1
            if step % self.every == 0:
                losses[:] = [float(loss) for loss in losses]
                if self.leader:
                    self._write(model, steps, losses, step, settings, history)
                model.reseed(_seed(seed, step))
            return losses[-1]

        return steps._replace(train=train)

    def _settings(self, model, corpus):
        """What makes a training this one, beside the numbers that it was asked to use."""
        shapes = {name: list(array.shape) for name, array in model.export_weights().items()}
        return {
            "every": self.every,
            "framework": type(model).__module__.rpartition(".")[2],
            "corpus": f"{corpus.name} ({corpus.digest()})",
            "weights": shapes,
            "dropout": getattr(getattr(model.decoder, "sizes", None), "dropout", None),
        }

    def _compare(self, kept, settings):
        for name, here in settings.items():
            there = kept.get(name)
            if isinstance(here, dict) and isinstance(there, dict) and here != there:
                name = next(key for key in here | there if here.get(key) != there.get(key))
                here, there = here.get(name), there.get(name)
            if here != there:
                raise ValueError(
                    f"{self.path} is of another training: {name} is {there} there and {here} "
                    "here; name another folder, or delete this one"
                )

    def _write(self, model, steps, losses, step, settings, history):
        arrays = {f"weights/{name}": array for name, array in model.export_weights().items()}
        arrays |= {f"optimizer/{name}": array for name, array in steps.get_state().items()}
        arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        kept = {"settings": settings, "step": step, "history": history}
        metadata = {"format_version": FORMAT_VERSION, "kept": json.dumps(kept)}
        files.write_arrays(self.path, arrays | {"losses": np.array(losses)}, metadata)

    def _read(self):
        from safetensors import SafetensorError

        try:
            arrays, metadata = files.read_arrays(self.path)
            if metadata.get("format_version") == FORMAT_VERSION:
                return arrays, json.loads(metadata["kept"])
            reason = f"format version {metadata.get('format_version')}"
        except SafetensorError as error:
            reason = str(error)
        raise ValueError(f"{self.path} is no checkpoint of this release ({reason}); delete it")


def _seed(seed, step):
    """The seed of the dropout behind a checkpoint."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0] >> 1)
