"""Parallel corpora: where sentence pairs come from, and how they become batches of integers.

Pairs come from the grammar in grammar.py, from a local file, or from the d2l archive fra-eng.
Nothing here knows a framework: batches are NumPy arrays.
"""

import os
import random
import re
import stat
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self, overload

import numpy as np

from d2l_ext import grammar

SPECIAL_TOKENS = ("<unk>", "<pad>", "<bos>", "<eos>")
SPLITS = ("train", "validation", "test")
GRAMMAR_PAIRS = 20_000
GRAMMAR_STEPS = 31  # 30 tokens and <eos>
MIN_FREQ = 2  # a word that a file has only once is <unk>, as in d2l

# The archive of d2l's DATA_HUB["fra-eng"], over https.
ARCHIVE_URL = "https://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip"
ARCHIVE_HASH = "sha1:94646ad1522d915e7b0f9296181140edcf86a4f5"
ARCHIVE_MEMBER = "fra-eng/fra.txt"


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


class Vocab:
    """A list of tokens, special ones first, and the way back from a token to its index.

    Args:
        tokens: the tokens in order; they must start with `SPECIAL_TOKENS` and be distinct.

    Raises:
        ValueError: if they do not, or are not.
    """

    unk, pad, bos, eos = range(len(SPECIAL_TOKENS))

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = list(tokens)
        if tuple(self.tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(
                f"a vocabulary starts with {SPECIAL_TOKENS}, not with "
                f"{tuple(self.tokens[: len(SPECIAL_TOKENS)])}"
            )
        self._index = {token: i for i, token in enumerate(self.tokens)}
        if len(self._index) < len(self.tokens):
            twice = next(token for token, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"the token {twice!r} is in the vocabulary twice")

    @classmethod
    def build(cls, sentences: Iterable[Iterable[str]], min_freq: int = 1) -> Self:
        """The vocabulary of some sentences, frequent tokens first, ties in alphabetical order.

        Args:
            sentences: iterable of token sequences.
            min_freq: tokens that are rarer are left out.

        Returns:
            Vocab.
        """
        counts = Counter(token for sentence in sentences for token in sentence)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [token for token, n in ordered if n >= min_freq and token not in SPECIAL_TOKENS]
        return cls([*SPECIAL_TOKENS, *kept])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._index

    @overload
    def __getitem__(self, tokens: str) -> int: ...
    @overload
    def __getitem__(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...
    def __getitem__(self, tokens: Any) -> Any:
        """The index of a token, or the list of indices of a list or tuple of them."""
        if isinstance(tokens, str):
            return self._index.get(tokens, self.unk)
        return [self[token] for token in tokens]

    @overload
    def to_tokens(self, indices: int | np.integer) -> str: ...
    @overload
    def to_tokens(self, indices: Sequence[int] | np.ndarray) -> list[str]: ...
    def to_tokens(self, indices: Any) -> Any:
        """The token of an index, or the list of tokens of a sequence of indices."""
        if np.ndim(indices) == 0:
            return self.tokens[int(indices)]
        return [self.to_tokens(index) for index in indices]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocab) and self.tokens == other.tokens

    __hash__ = None

    def __repr__(self) -> str:
        return f"Vocab({len(self)} tokens)"


# Tokens and text --------------------------------------------------------------------------------

_ENGLISH_ENDING = r"'(?:s|m|re|ve|ll|d)\b"
_ELIDED = r"(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)'"
_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)+"  # 10,000 and 2:30
    r"|(?:\w\.){2,}"  # p.m.
    rf"|n't\b|{_ENGLISH_ENDING}"
    rf"|{_ELIDED}"
    r"|\w+?(?=n't\b)"  # the 'do' of "don't"
    rf"|\w+(?:(?:-|(?!{_ENGLISH_ENDING})')\w+)*"  # est-ce, o'clock, aujourd'hui
    r"|\.\.\.|[^\w\s]"
)
_NO_SPACE_BEFORE = re.compile(rf"n't$|{_ENGLISH_ENDING}$|\.\.\.$|[.,:;!?%)\]]$")
_NO_SPACE_AFTER = re.compile(rf"{_ELIDED}$|[($\[]$")


def tokenize(text: str) -> list[str]:
    """Split a sentence of English or French into lower-case tokens.

    Punctuation stands alone. Elided words keep their apostrophe ("l'homme" -> "l' homme"), and
    English endings become words ("don't" -> "do n't", "it's" -> "it 's"). Text that is tokenized
    already stays as it is.

    Args:
        text: string. Narrow and no-break spaces count as spaces, a typographic apostrophe as a
            plain one.

    Returns:
        List of tokens.
    """
    text = unicodedata.normalize("NFC", text).lower()
    text = text.replace("\u2019", "'").replace("\u2018", "'")
    return _TOKEN.findall(text)


def detokenize(tokens: Iterable[str]) -> str:
    """Join tokens into a sentence, undoing `tokenize` but for case and French spaces before '?'.

    Args:
        tokens: sequence of tokens.

    Returns:
        String, with English spacing around punctuation.
    """
    text, glue, quoted = "", True, False
    for token in tokens:
        closing = token == '"' and quoted
        if not (glue or closing or _NO_SPACE_BEFORE.match(token)):
            text += " "
        text += token
        if token == '"':
            quoted = not quoted
        glue = bool(_NO_SPACE_AFTER.match(token)) or (token == '"' and quoted)
    return text


# From pairs to arrays ---------------------------------------------------------------------------


def _pad(rows, steps, pad):
    padded = np.full((len(rows), steps), pad, dtype=np.int32)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


def _round_up(steps, multiple):
    return -(-steps // multiple) * multiple


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
    src, src_valid_len = encode_source([pair.source for pair in pairs], src_vocab, multiple)
    targets = [tgt_vocab[pair.target] for pair in pairs]
    tgt_valid_len = np.array([len(row) + 1 for row in targets], dtype=np.int32)
    steps = _round_up(int(tgt_valid_len.max()), multiple)
    return Batch(
        src,
        src_valid_len,
        _pad([[tgt_vocab.bos, *row] for row in targets], steps, tgt_vocab.pad),
        _pad([[*row, tgt_vocab.eos] for row in targets], steps, tgt_vocab.pad),
        tgt_valid_len,
    )


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
    rows = [[*src_vocab[tuple(sentence)], src_vocab.eos] for sentence in sentences]
    src_valid_len = np.array([len(row) for row in rows], dtype=np.int32)
    steps = _round_up(int(src_valid_len.max()), multiple)
    return _pad(rows, steps, src_vocab.pad), src_valid_len


def _shuffled(items, seed):
    """The items in a random order, the same on every machine."""
    draw = random.Random(seed).random
    keys = [draw() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]


@dataclass(frozen=True)
class ParallelCorpus:
    """Sentence pairs, split into train, validation and test, with their vocabularies.

    No source sentence is in two splits. The vocabularies are those of the training pairs.
    `max_steps` bounds the steps of every sentence, <eos> included.
    """

    name: str
    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    src_vocab: Vocab
    tgt_vocab: Vocab
    max_steps: int

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {len(getattr(self, split))}" for split in SPLITS)
        return (
            f"ParallelCorpus({self.name}: {sizes} pairs; {len(self.src_vocab)} source and "
            f"{len(self.tgt_vocab)} target tokens; max_steps {self.max_steps})"
        )

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
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
        _check_positive("batch_size", batch_size)
        _check_positive("multiple", multiple)
        return self._batches(getattr(self, split), batch_size, shuffle, seed, multiple)

    def _batches(self, pairs, batch_size, shuffle, seed, multiple):
        if shuffle:
            pairs = _shuffled(pairs, seed)
        # By target first: a step of a decoder costs more than one of an encoder
        pairs = sorted(pairs, key=lambda pair: (len(pair.target), len(pair.source)))
        starts = range(0, len(pairs), batch_size)
        for start in _shuffled(starts, seed) if shuffle else starts:
            yield pad_batch(
                pairs[start : start + batch_size], self.src_vocab, self.tgt_vocab, multiple
            )


# Where pairs come from --------------------------------------------------------------------------


def load(
    name_or_path: str | os.PathLike[str] = "grammar",
    num_pairs: int | None = None,
    max_steps: int | None = None,
    seed: int = 0,
) -> ParallelCorpus:
    """Load a parallel corpus: train, validation and test pairs (90, 5 and 5 %) and vocabularies.

    Args:
        name_or_path: "grammar" for sentences of the built-in grammar, with gold alignments;
            "fra-eng" for the d2l archive of English-French pairs (Tatoeba, CC BY 2.0 FR), fetched
            on first use; the path of a UTF-8 file of `source<TAB>target` lines, of which further
            columns are ignored; or the path of a folder of such files, which `find_files` finds.
            What cannot be read in a folder is left out, with a warning that names it.
        num_pairs: number of distinct pairs: of the grammar as many as asked for (20,000 if None);
            of a file the first ones, or all if None or if there are fewer.
        max_steps: the longest sentence allowed on either side, in tokens with <eos>. The grammar
            writes none longer (31 if None); of a file longer pairs are dropped (none if None).
        seed: integer that decides the grammar's sentences and the split. The same seed gives the
            same corpus on every machine.

    Returns:
        `ParallelCorpus`. Words that a file's training pairs have only once are not in its
        vocabularies.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the file is empty, not UTF-8 or has a line without a tab; if the folder has
            no file that can be read; if the grammar has fewer sentences than asked for; or if
            there are fewer than three different source sentences to split.
        OSError: if the archive cannot be fetched.
    """
    if num_pairs is not None:
        _check_positive("num_pairs", num_pairs)
    if max_steps is not None:
        _check_positive("max_steps", max_steps)
    name = str(name_or_path)
    if name == "grammar":
        steps = GRAMMAR_STEPS if max_steps is None else max_steps
        if steps < 4:
            raise ValueError(
                f"max_steps is {steps}, but the grammar's shortest sentences need 4: three tokens "
                "and <eos>"
            )
        count = GRAMMAR_PAIRS if num_pairs is None else num_pairs
        pairs = [Pair(*triple) for triple in grammar.generate(count, steps - 1, seed)]
        return split(name, pairs, 1, steps, seed)
    if name == "fra-eng":
        found = _read_pairs(_archive_lines(fetch_archive()), ARCHIVE_MEMBER)
    elif Path(name_or_path).is_dir():
        found = _read_folder(Path(name_or_path))
    else:
        found = _read_pairs(_file_lines(Path(name_or_path)), name)
    pairs = _first_pairs(found, name, num_pairs, max_steps)
    return split(Path(name).stem, pairs, MIN_FREQ, max_steps, seed)


def _check_positive(name, value):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a positive integer")


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
        `ParallelCorpus`.

    Raises:
        ValueError: if there are fewer than three different source sentences.
    """
    if max_steps is None:
        max_steps = 1 + max(len(side) for pair in pairs for side in pair[:2])
    by_source = {}
    for pair in pairs:
        by_source.setdefault(pair.source, []).append(pair)
    if len(by_source) < len(SPLITS):
        raise ValueError(
            f"{name} has {len(by_source)} different source sentences; train, validation and test "
            f"need at least {len(SPLITS)}"
        )
    sources = _shuffled(list(by_source), seed)
    held_out = max(1, round(0.05 * len(sources)))
    parts = sources[2 * held_out :], sources[:held_out], sources[held_out : 2 * held_out]
    train, validation, test = (
        [pair for source in part for pair in by_source[source]] for part in parts
    )
    return ParallelCorpus(
        name,
        train,
        validation,
        test,
        Vocab.build((pair.source for pair in train), min_freq),
        Vocab.build((pair.target for pair in train), min_freq),
        max_steps,
    )


def _first_pairs(found, origin, num_pairs, max_steps):
    """The first distinct pairs of those found that are not too long."""
    pairs = {}  # a dict keeps the order and drops repetitions
    for pair in found:
        if max_steps is None or max(len(pair.source), len(pair.target)) < max_steps:
            pairs[pair] = None
        if len(pairs) == num_pairs:
            break
    if not pairs:
        raise ValueError(
            f"{origin} has no pair of at most max_steps={max_steps} tokens with <eos>; "
            "allow longer ones"
        )
    return list(pairs)


def _read_pairs(lines, origin):
    """The pairs of `source<TAB>target` lines (bytes)."""
    empty = True
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{origin}, line {number}: byte {error.object[error.start]:#04x} at position "
                f"{error.start} is not UTF-8; convert the file to UTF-8"
            ) from error
        if not text.strip():
            continue
        empty = False
        columns = text.split("\t")
        sides = [tuple(tokenize(column)) for column in columns[:2]]
        if len(sides) < 2 or not all(sides):
            raise ValueError(
                f"{origin}, line {number}: expected source<TAB>target with words on both sides, "
                f"found {text.strip()[:60]!r}"
            )
        yield Pair(*sides)
    if empty:
        raise ValueError(f"{origin} is empty; expected lines of source<TAB>target")


def _file_lines(path):
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no corpus {str(path)!r}; expected 'grammar', 'fra-eng' or the path of a "
            "file of source<TAB>target lines, or of a folder of such files"
        ) from error
    with file:
        yield from file


def fetch_archive() -> Path:
    """Download the d2l archive fra-eng.zip into pooch's cache, unless it is there already.

    Returns:
        Path of the archive, its checksum verified.

    Raises:
        OSError: if it cannot be fetched or its checksum is wrong. Then the cache holds nothing of
            it.
    """
    import pooch

    try:
        return Path(
            pooch.retrieve(
                ARCHIVE_URL,
                known_hash=ARCHIVE_HASH,
                fname="fra-eng.zip",
                path=pooch.os_cache("d2l_ext"),
            )
        )
    except (OSError, ValueError) as error:  # pooch reports a wrong checksum as a ValueError
        raise OSError(
            f"could not fetch {ARCHIVE_URL}: {error}. Try again with a network connection, or do "
            "without: load('grammar') needs none, load('path/to/fra.txt') reads a copy you have"
        ) from error


def _archive_lines(path):
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            place = PurePosixPath(entry.replace("\\", "/"))
            if place.is_absolute() or ".." in place.parts or ":" in entry:
                raise ValueError(f"{path}: the entry {entry!r} would leave the folder; refused")
        with archive.open(ARCHIVE_MEMBER) as file:
            yield from file


# Folders ----------------------------------------------------------------------------------------


class Found(NamedTuple):
    """What `find_files` found.

    `files` is a list of the files' paths. `problems` is a list of (path, reason), one for each
    place where it could not or would not look.
    """

    files: list[Path]
    problems: list[tuple[Path, str]]


def find_files(folder: str | os.PathLike[str], suffix: str = ".txt") -> Found:
    """Find the files of a kind in a folder and all its sub-folders.

    A link to a folder is not walked along: what is inside is found where it is, so that there are
    no loops. A link to a file inside counts only if that file is not found by its own name, so
    that nothing is read twice. A link that leads out of the folder, or nowhere, is a problem.
    Names that start with a dot are passed over: they belong to programs, not to readers.

    Args:
        folder: path of the folder.
        suffix: how the names of the files end, in small or capital letters.

    Returns:
        `Found`, with files and problems each in alphabetical order, the same on every machine.

    Raises:
        NotADirectoryError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {str(folder)!r}")
    root = folder.resolve()
    files, links, problems, waiting = [], [], [], [folder]
    while waiting:
        place = waiting.pop()
        try:
            entries = [path for path in place.iterdir() if not path.name.startswith(".")]
        except OSError as error:
            problems.append((place, _reason(error)))
            continue
        for path in entries:
            wanted = path.name.lower().endswith(suffix.lower())
            try:
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode):
                    target = path.resolve(strict=True)
                    if not target.is_relative_to(root):
                        problems.append((path, "a link that leads out of the folder"))
                    elif wanted and target.is_file():
                        links.append((path, target))
                elif stat.S_ISDIR(mode):
                    waiting.append(path)
                elif wanted and stat.S_ISREG(mode):
                    files.append(path)
                elif wanted:
                    problems.append((path, "neither a file nor a folder"))
            except (FileNotFoundError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
                problems.append((path, "a link that leads nowhere"))
            except OSError as error:
                problems.append((path, _reason(error)))
    found = {path.resolve() for path in files}
    for path, target in sorted(links):
        if target not in found:
            files.append(path)
            found.add(target)
    # By parts: "a/z.txt" before "a b/c.txt", as a file manager shows them.
    files.sort(key=lambda path: path.parts)
    problems.sort(key=lambda problem: problem[0].parts)
    return Found(files, problems)


def _reason(error):
    return error.strerror or type(error).__name__


def _read_folder(folder):
    """The pairs of all files in a folder that can be read; warn of those that cannot."""
    found = find_files(folder)
    pairs, problems, num_files = [], list(found.problems), 0
    for path in found.files:
        try:
            # A list: of a file that turns out bad in the middle, nothing is taken.
            pairs += list(_read_pairs(_file_lines(path), path.name))
            num_files += 1
        except OSError as error:
            problems.append((path, _reason(error)))
        except ValueError as error:
            problems.append((path, str(error)))
    # repr: a name may hold a line break, or bytes that are no text
    listed = "".join(f"\n  {str(path)!r}: {reason}" for path, reason in problems)
    if num_files == 0:
        raise ValueError(
            f"the folder {str(folder)!r} has no *.txt file of source<TAB>target lines that can be "
            f"read{':' if listed else ''}{listed}"
        )
    if problems:
        warnings.warn(
            f"{num_files} files of {str(folder)!r} were read, but not:{listed}", stacklevel=3
        )
    return pairs
