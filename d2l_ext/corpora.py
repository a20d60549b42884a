"""Parallel corpora: where sentence pairs come from, and how they become batches of integers.

Pairs come from the grammar in grammar.py, from local files, or from the d2l archive fra-eng. They
are kept as flat arrays of integers, which may lie in a file. Nothing here knows a framework:
batches are NumPy arrays.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import shutil
import time
import warnings
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from d2l_ext import grammar, textfiles, vocab
from d2l_ext.arguments import check_positive, is_integer
from d2l_ext.textfiles import Found, fetch_archive, find_files
from d2l_ext.vocab import (
    SPECIAL_TOKENS,
    Subwords,
    Vocab,
    detokenize,
    guess_language,
    join_weights,
    tokenize,
)

__all__ = [
    "SPECIAL_TOKENS",
    "SPLITS",
    "Batch",
    "Found",
    "Pair",
    "Pairs",
    "ParallelCorpus",
    "Part",
    "Share",
    "Subwords",
    "Vocab",
    "detokenize",
    "encode_source",
    "fetch_archive",
    "find_files",
    "guess_language",
    "join_weights",
    "load",
    "load_arrays",
    "pad_batch",
    "save_arrays",
    "split",
    "tokenize",
]

SPLITS = ("train", "validation", "test")
GRAMMAR_PAIRS = 20_000
GRAMMAR_STEPS = 31  # 30 tokens and <eos>
MIN_FREQ = 2  # a word that a file has only once is <unk>, as in d2l
VOCAB_SIZE = 4000  # subwords, if the file is large enough
LEARN_FROM = 200_000  # sentences at most from which subwords are learned
UNKNOWN = 0.05  # share of unknown held-out tokens beyond which `load` warns
CACHED_BYTES = 4 * 2**20  # files from this size on are cached
CACHE_VERSION = 4
BAR_AFTER = 1.0  # seconds of reading after which a large file gets a bar


class Pair(NamedTuple):
    """A sentence and its translation.

    `source` and `target` are tuples of tokens. `alignment` is a tuple of (source index, target
    index) that says which words translate each other, or None where nobody has said so.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    alignment: tuple[tuple[int, int], ...] | None = None


class Batch(NamedTuple):
    """Integer arrays for a batch of pairs, padded with <pad>.

    `src` (batch, src steps) ends in <eos>; `tgt_in` (batch, tgt steps) starts with <bos>;
    `tgt_out` (batch, tgt steps) ends in <eos>. The lengths, (batch,) each, count <bos> or <eos>
    but no padding.
    """

    src: np.ndarray
    src_valid_len: np.ndarray
    tgt_in: np.ndarray
    tgt_out: np.ndarray
    tgt_valid_len: np.ndarray


# From pairs to arrays ---------------------------------------------------------------------------


class Sentences:
    """Token sequences of one language as one flat array.

    Args:
        ids: (tokens,) int32, the indices of all tokens of all sentences, one after the other.
        starts: (sentences + 1,) int64, where each sentence begins and the last one ends.
        tokens: list of what the indices stand for: a vocabulary, then the tokens beyond it.
    """

    def __init__(self, ids: np.ndarray, starts: np.ndarray, tokens: list[str]) -> None:
        self.ids, self.starts, self.tokens = ids, starts, tokens
        self.lengths = np.diff(starts)

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]], tokens: list[str]) -> "Sentences":
        """Lay rows of indices one after the other."""
        ids, starts = array("i"), array("q", [0])
        for row in rows:
            ids.extend(row)
            starts.append(len(ids))
        return cls(np.frombuffer(ids, np.int32), np.frombuffer(starts, np.int64), tokens)

    @classmethod
    def of_tokens(cls, sentences: Iterable[Sequence[str]], known: Vocab) -> "Sentences":
        """Lay sentences one after the other; tokens that the vocabulary lacks stand behind it."""
        index = _Index(known.tokens)
        found = cls.of(([index[token] for token in sentence] for sentence in sentences), [])
        found.tokens = list(index)
        return found

    def __getitem__(self, i: int) -> tuple[str, ...]:
        return tuple(map(self.tokens.__getitem__, self.ids[self.starts[i] : self.starts[i + 1]]))

    def flat(self, rows: np.ndarray) -> np.ndarray:
        """The indices of all tokens of some sentences, one after the other."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(
            self.starts[rows] - (ends - lengths), lengths
        )
        return self.ids[places]

    def padded(
        self, rows: np.ndarray, known: Vocab, multiple: int, longest: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The indices (rows, steps), each row with <eos> and padding, and lengths with <eos>.

        There is room for a sentence of `longest` tokens, or else for the longest of these.
        """
        lengths = self.lengths[rows]
        longest = lengths.max() if longest is None else longest
        steps = -(-(int(longest) + 1) // multiple) * multiple
        padded = np.full((len(rows), steps), known.pad, dtype=np.int32)
        ids = self.flat(rows)
        padded[np.arange(steps) < lengths[:, None]] = np.where(ids < len(known), ids, known.unk)
        padded[np.arange(len(rows)), lengths] = known.eos
        return padded, lengths.astype(np.int32) + 1


class Pairs(Sequence):
    """Sentence pairs in flat arrays that read like a list of `Pair`s.

    Args:
        source: `Sentences`.
        target: `Sentences`, as many.
        rows: (pairs,) integers, which of them belong here, in order.
        alignments: sequence of an alignment for each sentence, or None.
    """

    def __init__(
        self,
        source: Sentences,
        target: Sentences,
        rows: np.ndarray,
        alignments: Sequence | None = None,
    ) -> None:
        self.source, self.target, self.rows, self.alignments = source, target, rows, alignments

    @classmethod
    def of(cls, pairs: Sequence[Pair], src_vocab: Vocab, tgt_vocab: Vocab) -> "Pairs":
        """Put a list of `Pair`s into arrays; tokens that a vocabulary lacks are kept beside it."""
        source = Sentences.of_tokens((pair.source for pair in pairs), src_vocab)
        target = Sentences.of_tokens((pair.target for pair in pairs), tgt_vocab)
        return cls(source, target, np.arange(len(pairs)), [pair.alignment for pair in pairs])

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, i: int) -> Pair: ...
    @overload
    def __getitem__(self, i: slice) -> "Pairs": ...
    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return Pairs(self.source, self.target, self.rows[i], self.alignments)
        row = self.rows[i]
        return Pair(
            self.source[row],
            self.target[row],
            None if self.alignments is None else self.alignments[row],
        )

    def __add__(self, other: Iterable[Pair]) -> list[Pair]:
        return [*self, *other]

    def __radd__(self, other: Iterable[Pair]) -> list[Pair]:
        return [*other, *self]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pairs | list) and list(self) == list(other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"Pairs({list(self)!r})" if len(self) < 10 else f"Pairs({len(self)} pairs)"


class _Index(dict):
    """Indices of tokens; a new token gets the next one."""

    def __init__(self, tokens):
        super().__init__((token, i) for i, token in enumerate(tokens))

    def __missing__(self, token):
        self[token] = len(self)
        return self[token]


def _batch(src, tgt, tgt_vocab):
    """The `Batch` of padded sources and targets, each with its lengths."""
    tgt_out, tgt_valid_len = tgt
    tgt_in = np.roll(tgt_out, 1, axis=1)
    tgt_in[:, 0] = tgt_vocab.bos
    tgt_in[np.arange(tgt_in.shape[1]) >= tgt_valid_len[:, None]] = tgt_vocab.pad  # no <eos>
    return Batch(*src, tgt_in, tgt_out, tgt_valid_len)


def _pad(sentences, known, multiple):
    """Token sequences as padded indices and lengths."""
    laid = Sentences.of((known[tuple(sentence)] for sentence in sentences), known.tokens)
    return laid.padded(np.arange(len(sentences)), known, multiple)


def pad_batch(
    pairs: Sequence[Pair], src_vocab: Vocab, tgt_vocab: Vocab, multiple: int = 1
) -> Batch:
    """Turn pairs into the integer arrays of teacher forcing.

    Args:
        pairs: non-empty sequence of `Pair`s.
        src_vocab: `Vocab` of the sources.
        tgt_vocab: `Vocab` of the targets.
        multiple: steps are rounded up to a multiple of this, with more padding, so that compiled
            code sees few shapes.

    Returns:
        `Batch`, padded to its longest source and its longest target.

    Raises:
        ValueError: if there are no pairs.
    """
    if len(pairs) == 0:
        raise ValueError("pad_batch got no pairs; a batch needs at least one")
    src = _pad([pair.source for pair in pairs], src_vocab, multiple)
    return _batch(src, _pad([pair.target for pair in pairs], tgt_vocab, multiple), tgt_vocab)


def encode_source(
    sentences: Sequence[Sequence[str]], src_vocab: Vocab, multiple: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Turn source sentences into integers.

    Args:
        sentences: non-empty sequence of token sequences; unknown tokens become <unk>.
        src_vocab: `Vocab` of the sources.
        multiple: steps are rounded up to a multiple of this, with more padding.

    Returns:
        src (sentences, steps) int32, each row ending in <eos> before its padding, and
        src_valid_len (sentences,) int32, which counts <eos>.

    Raises:
        ValueError: if there are no sentences.
        TypeError: if a sentence is a string instead of a sequence of tokens.
    """
    if len(sentences) == 0:
        raise ValueError("encode_source got no sentences; a batch needs at least one")
    for sentence in sentences:
        if isinstance(sentence, str):
            raise TypeError(f"{sentence!r} is a string; pass tokens, as tokenize() gives them")
    return _pad(sentences, src_vocab, multiple)


def _order(count, seed):
    """A random order of so many things, the same on every machine."""
    draw = random.Random(seed).random
    return np.argsort([draw() for _ in range(count)], kind="stable")


def _shuffled(items, seed):
    return [items[i] for i in _order(len(items), seed)]


@dataclass(frozen=True)
class ParallelCorpus:
    """Sentence pairs, split into train, validation and test, with their vocabularies.

    No source sentence is in two splits. The vocabularies are those of the training pairs.
    `max_steps` bounds the steps of every sentence, <eos> included. `num_longer` counts the pairs
    that were left out for it; `left_out` is a tuple of messages on other things that were.
    """

    name: str
    train: Pairs
    validation: Pairs
    test: Pairs
    src_vocab: Vocab
    tgt_vocab: Vocab
    max_steps: int
    known_digest: str | None = field(default=None, compare=False)
    num_longer: int = field(default=0, compare=False)
    left_out: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for part in SPLITS:
            pairs = getattr(self, part)
            if not isinstance(pairs, Pairs):
                pairs = Pairs.of(pairs, self.src_vocab, self.tgt_vocab)
                object.__setattr__(self, part, pairs)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {len(getattr(self, split))}" for split in SPLITS)
        shares = self.unknown
        unknown = ""
        if any(shares):
            unknown = "; unknown in held-out text {:.1%} and {:.1%}".format(*shares)
        longer = f"; {self.num_longer} longer pairs left out" if self.num_longer else ""
        return (
            f"ParallelCorpus({self.name}: {sizes} pairs; {len(self.src_vocab)} source and "
            f"{len(self.tgt_vocab)} target tokens; max_steps {self.max_steps}{longer}{unknown})"
        )

    @property
    def unknown(self) -> tuple[float, float]:
        """The shares of source and target tokens in validation and test that are unknown."""
        held_out = self.validation, self.test
        return tuple(
            _share(
                np.concatenate([getattr(pairs, side).flat(pairs.rows) for pairs in held_out])
                >= len(known)
            )
            for side, known in (("source", self.src_vocab), ("target", self.tgt_vocab))
        )

    def digest(self) -> str:
        """What differs if the training pairs do; all are read unless `load_arrays` knows it."""
        if self.known_digest is not None:
            return self.known_digest
        digest = hashlib.blake2b(digest_size=8)
        digest.update(np.ascontiguousarray(self.train.rows))
        for sentences in self.train.source, self.train.target:
            digest.update(np.ascontiguousarray(sentences.ids))
            digest.update(np.ascontiguousarray(sentences.starts))
        return digest.hexdigest()

    def batches(
        self, split: str, batch_size: int, shuffle: bool = True, seed: int = 0, multiple: int = 1
    ) -> Iterator[Batch]:
        """Yield every pair of a split once, in batches of sentences of similar length.

        Args:
            split: "train", "validation" or "test".
            batch_size: pairs in a batch; the last batch may be smaller.
            shuffle: whether batches come in random order, and pairs of equal length change places;
                otherwise from short targets to long ones.
            seed: integer; give each epoch its own.
            multiple: steps are rounded up to a multiple of this, so that compiled code sees few
                shapes.

        Yields:
            `Batch`es, padded to their longest sentence.

        Raises:
            ValueError: if there is no such split, or the batch size or multiple is not positive.
        """
        _check_batches(split, batch_size, multiple)
        rows = self._batch_rows(getattr(self, split), batch_size, shuffle, seed)
        return (self._batch_of(split, chosen, multiple) for chosen in rows)

    def _batch_rows(self, pairs, batch_size, shuffle, seed):
        """The rows of each batch."""
        rows = pairs.rows
        if shuffle:
            rows = rows[_order(len(rows), seed)]
        # By target first: a step of a decoder costs more than one of an encoder
        rows = rows[np.lexsort((pairs.source.lengths[rows], pairs.target.lengths[rows]))]
        starts = range(0, len(rows), batch_size)
        for start in _shuffled(starts, seed) if shuffle else starts:
            yield rows[start : start + batch_size]

    def _batch_of(self, split, rows, multiple, longest=(None, None)):
        """The `Batch` of some rows."""
        pairs = getattr(self, split)
        src = pairs.source.padded(rows, self.src_vocab, multiple, longest[0])
        tgt = pairs.target.padded(rows, self.tgt_vocab, multiple, longest[1])
        return _batch(src, tgt, self.tgt_vocab)


class Part(NamedTuple):
    """What one of several workers gets of a batch.

    `mine` is a `Batch` of its own pairs, as long as the whole batch's longest sentences, and of as
    many rows as every other worker's: a row without a pair has lengths 0. `tgt_valid_len` (batch,)
    are the lengths of all targets of the whole batch.
    """

    mine: Batch
    tgt_valid_len: np.ndarray


class Share:
    """A corpus of which one of several workers reads its share.

    Args:
        corpus: `ParallelCorpus`, the same for every worker.
        rank: the worker's number, from 0.
        size: how many workers there are.

    Raises:
        ValueError: if `size` is not a positive integer, or there is no worker of this number.

    `batches` yields a `Part` of each of the corpus's batches, and looks at no other worker's
    sentences: only at their lengths. All else is the corpus's own.
    """

    def __init__(self, corpus: ParallelCorpus, rank: int, size: int) -> None:
        check_positive("size", size)
        if not is_integer(rank) or not 0 <= rank < size:
            raise ValueError(f"rank is {rank!r}; expected a number from 0 to below size, {size}")
        self.corpus, self.rank, self.size = corpus, rank, size

    def __getattr__(self, name: str) -> Any:
        if name == "corpus":  # of a copy that is not yet filled
            raise AttributeError(name)
        return getattr(self.corpus, name)

    def batches(
        self, split: str, batch_size: int, shuffle: bool = True, seed: int = 0, multiple: int = 1
    ) -> Iterator[Part]:
        """Yield this worker's part of each batch; arguments and errors are `ParallelCorpus`'s."""
        _check_batches(split, batch_size, multiple)
        return self._parts(split, batch_size, shuffle, seed, multiple)

    def _parts(self, split, batch_size, shuffle, seed, multiple):
        pairs = getattr(self.corpus, split)
        for rows in self.corpus._batch_rows(pairs, batch_size, shuffle, seed):
            # Every size-th of pairs that are sorted by length: parts of nearly equal work
            own = rows[self.rank :: self.size]
            lengths = [side.lengths[rows] for side in (pairs.source, pairs.target)]
            longest = [int(side.max()) for side in lengths]
            batch = self.corpus._batch_of(split, own, multiple, longest)
            empty = -(-len(rows) // self.size) - len(own)
            if empty:
                fill = self.corpus.src_vocab.pad, 0, *[self.corpus.tgt_vocab.pad] * 2, 0
                batch = Batch(
                    *(
                        np.concatenate([a, np.full((empty, *a.shape[1:]), value, a.dtype)])
                        for a, value in zip(batch, fill)
                    )
                )
            yield Part(batch, lengths[1] + 1)


def _share(chosen):
    return float(chosen.mean()) if len(chosen) else 0.0


# Where pairs come from --------------------------------------------------------------------------


def load(
    name_or_path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = "grammar",
    num_pairs: int | None = None,
    max_steps: int | None = None,
    seed: int = 0,
    *,
    tokens: str | None = None,
    vocab_size: int | None = None,
    joint: bool = False,
    lower: bool = True,
    reverse: bool = False,
    languages: tuple[str | None, str | None] = (None, None),
    bad_lines: str = "error",
) -> ParallelCorpus:
    """Load a parallel corpus: train, validation and test pairs (90, 5 and 5 %) and vocabularies.

    Args:
        name_or_path: "grammar" for sentences of the built-in grammar, with gold alignments;
            "fra-eng" for the d2l archive of English-French pairs (Tatoeba, CC BY 2.0 FR), fetched
            on first use; the path of a file of `source<TAB>target` lines, of which further
            columns are ignored; two paths, of which line n of one translates line n of the other;
            or the path of a folder of files of two columns, which `find_files` finds. What cannot
            be read in a folder is left out, with a warning that names it. Files are UTF-8, or
            UTF-16 or UTF-32 with a byte-order mark, and may be packed by gzip, bzip2 or xz.
        num_pairs: number of distinct pairs: of the grammar as many as asked for (20,000 if None);
            of a file the first ones, or all if None or if there are fewer.
        max_steps: the longest sentence allowed on either side, in tokens with <eos>. The grammar
            writes none longer (31 if None); of a file longer pairs are dropped (none if None), and
            `num_longer` of the corpus counts them.
        seed: integer that decides the grammar's sentences and the split. The same seed gives the
            same corpus on every machine.
        tokens: "words", "subwords" or "characters"; None for words of the grammar and subwords of
            a file. Words are those of English and French; those that a file's training pairs have
            only once are not in its vocabularies. Subwords and characters fit any script.
        vocab_size: most subwords or characters of a side, 260 special tokens and bytes among them;
            None for 4,000, or fewer if the file is small.
        joint: whether both sides share one vocabulary of subwords or characters.
        lower: whether subwords and characters lose capital letters; words always do.
        reverse: whether the second column is the source.
        languages: codes of source and target language, such as ("en", "zh"); None to guess one by
            its script. They decide how translations are scored, and whether subwords begin words.
        bad_lines: "error", or "skip" to leave out lines that are no pair, with a warning that
            counts them.

    Returns:
        `ParallelCorpus`. A large file's arrays are cached, and read from the cache the next time.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the file is empty, not Unicode or has a bad line; if one of two files ends
            before the other, as far as `num_pairs` has them read; if the folder has no file that
            can be read; if the grammar has fewer sentences than asked for; if there are fewer than
            three different source sentences to split; or if an argument is none of the above.
        OSError: if the archive cannot be fetched.

    Warns:
        UserWarning: if lines or files are left out, or if more than 5 % of the held-out tokens of
            a side are unknown.
    """
    for name, value in (("num_pairs", num_pairs), ("max_steps", max_steps)):
        if value is not None:
            check_positive(name, value)
    if vocab_size is not None:
        check_positive("vocab_size", vocab_size)
    if not is_integer(seed):
        raise ValueError(f"seed is {seed!r}; expected an integer")
    seed = int(seed)
    languages = _language_codes(languages)
    bad = textfiles.BadLines(bad_lines)
    if tokens is None:
        tokens = "words" if name_or_path == "grammar" else "subwords"
    if tokens not in vocab.KINDS:
        raise ValueError(f"tokens is {tokens!r}; expected one of {', '.join(vocab.KINDS)}")
    if tokens == "words" and (vocab_size or joint or not lower):
        raise ValueError(
            "tokens is 'words', which have no vocab_size, joint vocabulary or capital letters; "
            "ask for 'subwords' or 'characters'"
        )
    if name_or_path == "grammar":
        steps = GRAMMAR_STEPS if max_steps is None else max_steps
        if steps < 4:
            raise ValueError(
                f"max_steps is {steps}, but the grammar's shortest sentences need 4: three tokens "
                "and <eos>"
            )
        count = GRAMMAR_PAIRS if num_pairs is None else num_pairs
        pairs = [Pair(*triple) for triple in grammar.generate(count, steps - 1, seed)]
        if reverse:
            pairs = [Pair(b, a, tuple((j, i) for i, j in links)) for a, b, links in pairs]
        if tokens == "words":
            return split("grammar", pairs, 1, steps, seed)
        paths, name, found = [], "grammar", (map(detokenize, pair[:2]) for pair in pairs)
        max_steps = None
    else:
        paths, name, found = _open(name_or_path, bad)
    if reverse:
        found = ((target, source) for source, target in found)
    options = dict(
        num_pairs=num_pairs,
        max_steps=max_steps,
        seed=seed,
        tokens=tokens,
        vocab_size=vocab_size,
        joint=joint,
        lower=lower,
        languages=languages,
    )
    cache = _cache_folder(paths, options | {"bad_lines": bad_lines, "reverse": reverse})
    corpus = cache and _from_cache(cache, name)
    if not corpus:
        corpus = _build(name, found, bad, large=bool(cache), **options)
        if cache:
            _to_cache(cache, corpus)
    for message in corpus.left_out:
        warnings.warn(message, stacklevel=2)
    for side, share in zip(("source", "target"), corpus.unknown):
        if share > UNKNOWN:
            warnings.warn(
                f"{name}: {share:.0%} of the held-out {side} tokens are unknown to the vocabulary "
                f"of the training pairs; tokens='subwords' leaves none unknown",
                stacklevel=2,
            )
    return corpus


def _check_batches(split, batch_size, multiple):
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    check_positive("batch_size", batch_size)
    check_positive("multiple", multiple)


def _language_codes(languages):
    """The codes of two languages as this library knows them, None where one is to be guessed."""
    if isinstance(languages, str) or not (
        isinstance(languages, Sequence)
        and len(languages) == 2
        and all(isinstance(code, str | None) for code in languages)
    ):
        raise ValueError(
            f"languages is {languages!r}; expected two codes such as ('en', 'zh'), of source and "
            "target, with None for one that is to be guessed"
        )
    return [None if code is None else vocab.short_code(code) for code in languages]


def _open(name_or_path, bad):
    """The files by which to cache a corpus, its name, and its pairs, which are not read yet."""
    if name_or_path == "fra-eng":
        archive = fetch_archive()
        rows = textfiles.archive_lines(archive)
        return [archive], "fra-eng", textfiles.columns(rows, textfiles.ARCHIVE_MEMBER, bad)
    if not isinstance(name_or_path, str | os.PathLike | Sequence):
        raise TypeError(f"a corpus is a name, a path or two paths, not {name_or_path!r}")
    if not isinstance(name_or_path, str | os.PathLike):
        paths = [Path(path) for path in name_or_path]
        if len(paths) != 2:
            raise ValueError(f"a corpus is one path or two, not {len(paths)}")
        for path in paths:
            if not path.is_file():
                raise FileNotFoundError(
                    f"there is no file {str(path)!r}; expected a sentence a line"
                )
        return paths, _name(paths[0]), textfiles.aligned(paths, bad)
    path = Path(name_or_path)
    if path.is_dir():
        found = find_files(path)
        files = [] if found.problems else found.files  # no cache, lest it hide new problems
        return files, path.stem, textfiles.folder_pairs(path, found, bad)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no corpus {str(path)!r}; expected 'grammar', 'fra-eng' or the path of a "
            "file of source<TAB>target lines, or of a folder of such files"
        )
    return [path], _name(path), textfiles.columns(textfiles.lines(path), str(path), bad)


def _name(path):
    """What to call the corpus of a file: "train" for train.en.gz."""
    return path.with_suffix("").stem if path.suffix in textfiles.PACKED else path.stem


def split(
    name: str,
    pairs: Sequence[Pair],
    min_freq: int = 1,
    max_steps: int | None = None,
    seed: int = 0,
) -> ParallelCorpus:
    """Deal pairs into splits by their source sentence (90, 5 and 5 %), and build the vocabularies.

    Args:
        name: what to call the corpus.
        pairs: sequence of `Pair`s.
        min_freq: tokens that are rarer in the training pairs are not in the vocabularies.
        max_steps: the longest sentence on either side, in tokens with <eos>; None to count it.
        seed: integer that decides the split.

    Returns:
        `ParallelCorpus`, with vocabularies of words.

    Raises:
        ValueError: if there are fewer than three different source sentences.
    """
    if max_steps is None:
        max_steps = 1 + max(len(side) for pair in pairs for side in pair[:2])
    groups = _Index(())
    parts = _deal(name, np.array([groups[pair.source] for pair in pairs]), seed)
    train, validation, test = ([pairs[i] for i in part] for part in parts)
    return ParallelCorpus(
        name,
        train,
        validation,
        test,
        Vocab.build((pair.source for pair in train), min_freq),
        Vocab.build((pair.target for pair in train), min_freq),
        max_steps,
    )


def _deal(name, groups, seed):
    """The rows of train, validation and test: pairs of one source, a group, stay together.

    Groups are numbered in the order in which they appear.
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    if count < len(SPLITS):
        raise ValueError(
            f"{name} has {count} different source sentences; train, validation and test "
            f"need at least {len(SPLITS)}"
        )
    place = np.empty(count, dtype=np.int64)
    place[_order(count, seed)] = np.arange(count)
    held_out = max(1, round(0.05 * count))
    place = place[groups]
    rows = np.argsort(place, kind="stable")
    first, second = np.searchsorted(place[rows], (held_out, 2 * held_out))
    return rows[second:], rows[:first], rows[first:second]


# From texts to arrays ---------------------------------------------------------------------------


class _Texts:
    """Many strings in one block of bytes."""

    def __init__(self):
        self.block, self.starts = bytearray(), array("q", [0])

    def append(self, content):
        self.block += content
        self.starts.append(len(self.block))

    def __len__(self):
        return len(self.starts) - 1

    def __getitem__(self, i):
        return self.block[self.starts[i] : self.starts[i + 1]].decode()

    def chunks(self, size=1000):  # of 20,000 at once, each took a fifth longer
        for start in range(0, len(self), size):
            yield [self[i] for i in range(start, min(start + size, len(self)))]


def _bar(rows, title, large, **options):
    """The rows, with a bar, in a notebook too, if they are of a large file and take a while."""
    if not large:
        return rows
    from tqdm.auto import tqdm
    from tqdm.notebook import tqdm_notebook

    # None: if it is no terminal, which a notebook is not either
    disable = False if issubclass(tqdm, tqdm_notebook) else None
    return tqdm(rows, title, delay=BAR_AFTER, leave=False, disable=disable, **options)


def _build(
    name,
    found,
    bad,
    num_pairs,
    max_steps,
    seed,
    tokens,
    vocab_size,
    joint,
    lower,
    languages,
    large,
):
    """The corpus of pairs of strings."""
    words = tokens == "words"
    sides, seen, sources, num_longer = (_Texts(), _Texts()), set(), array("q"), 0
    for pair in _bar(found, name, large, unit=" pairs"):
        # Words are cut now, since their number decides which pairs are the first ones.
        cut = [" ".join(tokenize(text)) if words else text for text in pair]
        if words and max_steps and max(text.count(" ") + 2 for text in cut) > max_steps:
            num_longer += 1
            continue
        contents = [text.encode() for text in cut]
        key = _digest(b"\t".join(contents))
        if key in seen:
            continue
        seen.add(key)
        sources.append(_digest(contents[0]))
        for side, content in zip(sides, contents):
            side.append(content)
        if len(seen) == num_pairs:
            break
    if not seen and not num_longer:
        raise ValueError("; ".join([f"{name} has no usable pair", *bad.report()]))
    _check_some(name, len(seen), max_steps)
    del seen
    # Groups of one source, numbered in the order in which they appear
    _, first, groups = np.unique(
        np.frombuffer(sources, np.int64), return_index=True, return_inverse=True
    )
    groups = np.argsort(np.argsort(first))[groups]
    parts = _deal(name, groups, seed)
    languages = [
        guess_language(" ".join(side[i] for i in parts[0][:1000])) if code is None else code
        for side, code in zip(sides, languages)
    ]
    if words:
        known = (_cut_words(side, parts[0], code) for side, code in zip(sides, languages))
        vocabs, arrays = zip(*known)
    else:
        both = list(zip(sides, languages))
        vocabs = [
            known
            for some in ([both] if joint else [[side] for side in both])
            for known in _learn(some, parts[0], vocab_size, lower, tokens, seed)
        ]
        arrays = []
        for side, known in zip(sides, vocabs):
            rows = (row for chunk in side.chunks() for row in known.ids_of(chunk))
            rows = _bar(rows, f"{name}: {tokens}", large, total=len(side))
            arrays.append(Sentences.of(rows, known.tokens))
    steps = np.maximum(*(sentences.lengths for sentences in arrays)) + 1
    if max_steps is not None:
        num_longer += int((steps > max_steps).sum())
        parts = [part[steps[part] <= max_steps] for part in parts]
        _check_some(name, len(parts[0]), max_steps)
    splits = [Pairs(*arrays, part) for part in parts]
    return ParallelCorpus(
        name,
        *splits,
        *vocabs,
        int(max_steps or steps.max()),
        num_longer=num_longer,
        left_out=tuple(bad.report()),
    )


def _digest(content):
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def _check_some(name, count, max_steps):
    if count == 0:
        raise ValueError(
            f"{name} has no pair of at most max_steps={max_steps} tokens with <eos>; "
            "allow longer ones"
        )


def _cut_words(texts, train, language):
    """The vocabulary of the training texts, and all texts in arrays."""
    known = Vocab.build((texts[i].split(" ") for i in train), MIN_FREQ, language)
    return known, Sentences.of_tokens((text.split(" ") for text in texts), known)


def _learn(sides, train, vocab_size, lower, tokens, seed):
    """Vocabularies for the texts of one language or of two, which then have the same tokens."""
    if vocab_size is None:
        vocab_size = min(VOCAB_SIZE, 600 + len(train) // 5)
    rows = np.sort(train[_order(len(train), seed)[:LEARN_FROM]])
    texts, spaced = [], []
    for side, language in sides:
        own = [side[i] for i in rows]
        spaced.append(vocab.has_spaces(own, language))
        texts += [" " + text for text in own] if spaced[-1] else own
    learned = Subwords.train(texts, vocab_size, "", lower, tokens == "subwords", spaced=False)
    return [
        Subwords(learned.tokens, learned.merges, language, lower, each)
        for (_, language), each in zip(sides, spaced)
    ]


# The cache --------------------------------------------------------------------------------------


def _cache_folder(paths, options):
    """Where the arrays of some files are cached, by content and options; None for small files."""
    options = json.dumps([CACHE_VERSION, options], default=int)  # NumPy's integers too
    digest = hashlib.blake2b(options.encode(), digest_size=16)
    try:
        if sum(path.stat().st_size for path in paths) < CACHED_BYTES:
            return None
        for path in paths:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    except OSError:  # one of a folder, of which `load` will speak
        return None
    import pooch

    return Path(pooch.os_cache("d2l_ext")) / "corpora" / digest.hexdigest()


def save_arrays(corpus: ParallelCorpus, folder: str | os.PathLike[str]) -> None:
    """Write a corpus into a new folder, as arrays of which `load_arrays` reads what is asked for.

    Args:
        corpus: `ParallelCorpus`; alignments are not written.
        folder: it must not exist yet; it appears when it is complete.

    Raises:
        OSError: if there is such a folder already, or it cannot be written.
    """
    folder = Path(folder)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    try:
        unfinished.mkdir(parents=True)
        for side in ("source", "target"):
            sentences = getattr(corpus.train, side)
            np.save(unfinished / f"{side}_ids.npy", sentences.ids)
            np.save(unfinished / f"{side}_starts.npy", sentences.starts)
        for part in SPLITS:
            np.save(unfinished / f"{part}.npy", getattr(corpus, part).rows)
        parts = {
            "name": corpus.name,
            "digest": corpus.digest(),
            "vocabs": [corpus.src_vocab.to_json(), corpus.tgt_vocab.to_json()],
            "tokens": [corpus.train.source.tokens, corpus.train.target.tokens],
            "max_steps": corpus.max_steps,
            "num_longer": corpus.num_longer,
            "left_out": corpus.left_out,
        }
        (unfinished / "parts.json").write_text(json.dumps(parts), encoding="utf-8")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_arrays(folder: str | os.PathLike[str]) -> ParallelCorpus:
    """Open what `save_arrays` wrote; sentences are read from the files when they are used.

    Args:
        folder: the folder.

    Returns:
        `ParallelCorpus`.

    Raises:
        FileNotFoundError: if there is no such folder, or something else is in it.
        ValueError: if it is damaged.
    """
    folder = Path(folder)
    if not (folder / "parts.json").is_file():
        raise FileNotFoundError(
            f"{str(folder)!r} is no folder that `save_arrays` or `python -m d2l_ext prepare` wrote"
        )

    def read(stem):
        return np.load(folder / f"{stem}.npy", mmap_mode="r")

    try:
        parts = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
        sides = [
            Sentences(read(f"{side}_ids"), read(f"{side}_starts"), tokens)
            for side, tokens in zip(("source", "target"), parts["tokens"])
        ]
        splits = [Pairs(*sides, read(part)) for part in SPLITS]
        return ParallelCorpus(
            parts["name"],
            *splits,
            *map(vocab.from_json, parts["vocabs"]),
            parts["max_steps"],
            parts["digest"],
            parts.get("num_longer", 0),  # which older releases did not write
            tuple(parts.get("left_out", ())),
        )
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{str(folder)!r} is damaged ({error}); write it anew") from error


def _to_cache(folder, corpus):
    """Write a corpus, whole or not at all. A cache that cannot be written is no error."""
    with contextlib.suppress(OSError):  # read-only, full, or another process was faster
        for unfinished in folder.parent.glob(".*.unfinished"):
            if unfinished.stat().st_mtime < time.time() - 86_400:  # somebody killed its writer
                shutil.rmtree(unfinished, ignore_errors=True)
        save_arrays(corpus, folder)


def _from_cache(folder, name):
    """The corpus of a cache folder; None if there is none, or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        return dataclasses.replace(load_arrays(folder), name=name)
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
