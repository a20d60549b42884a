"""Where sentence pairs come from: files of two columns, pairs of files, folders, the d2l archive.

Everything here gives pairs of strings, (source, target), one after the other, so that a file of
any size passes through.
"""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# The archive of d2l's DATA_HUB["fra-eng"], over https.
ARCHIVE_URL = "https://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip"
ARCHIVE_HASH = "sha1:94646ad1522d915e7b0f9296181140edcf86a4f5"
ARCHIVE_MEMBER = "fra-eng/fra.txt"

BAD_LINES = ("error", "skip")
SHOWN = 3  # bad lines that a warning quotes
PACKED = (".gz", ".bz2", ".xz")
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_OTHERS = {b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
_MARKS = {  # UTF-32's first: they begin like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SURROGATE = re.compile("[\udc80-\udcff]")  # what a byte becomes that is not UTF-8


class BadLines:
    """What becomes of lines that are no pair: an error at the first, or a count of them.

    Args:
        policy: "error" or "skip".

    Raises:
        ValueError: if it is neither.
    """

    def __init__(self, policy: str) -> None:
        if policy not in BAD_LINES:
            raise ValueError(f"bad_lines is {policy!r}; expected 'error' or 'skip'")
        self.policy, self.count, self.first = policy, 0, []
        self.folder, self.num_files, self.unread = "", 0, []  # what `folder_pairs` has found

    def add(self, problem: str) -> None:
        """Take note of a bad line, or raise ValueError."""
        if self.policy == "error":
            raise ValueError(problem)
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(problem)

    def report(self) -> list[str]:
        """What was left out: nothing, or a message on lines, on files, or on both."""
        messages = []
        if self.count:
            rest = ["..."] if self.count > SHOWN else []
            messages.append(_listed(f"{self.count} bad lines were left out:", self.first + rest))
        if self.unread:
            title = f"{self.num_files} files of {self.folder!r} were read, but not:"
            messages.append(_listed(title, self.reasons()))
        return messages

    def reasons(self) -> list[str]:
        """Which files could not be read, and why."""
        # repr: a name may hold a line break, or bytes that are no text
        return [f"{str(path)!r}: {reason}" for path, reason in self.unread]


def _listed(title, rows):
    return "\n  ".join([title, *rows])


def lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a text file.

    Args:
        path: a file of UTF-8, or of UTF-16 or UTF-32 with a byte-order mark; it may be packed by
            gzip, bzip2 or xz. Lines end as on Unix, Windows or old Macs.

    Yields:
        Strings, without their ends. A byte that is not UTF-8 comes as a lone surrogate, U+DC80 to
        U+DCFF, for `decoded` to find.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is UTF-16 without a mark, packed otherwise, or damaged.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(6)
        for mark, name in _OTHERS.items():
            if start.startswith(mark):
                raise ValueError(f"{path} is packed by {name}; unpack it first")
        opener = next((o for mark, o in _OPENERS.items() if start.startswith(mark)), None)
        file.seek(0)
        with io.BufferedReader(opener(file) if opener else file) as unpacked:
            yield from _decode(unpacked, str(path))


def _decode(file, origin):
    number = 0
    try:
        start = file.peek(512)
        wide = next((kind for mark, kind in _MARKS.items() if start.startswith(mark)), None)
        if not wide and _is_wide(start):
            raise ValueError(
                f"{origin} looks like UTF-16 without a byte-order mark; convert the file to UTF-8"
            )
        encoding, errors = (wide, "strict") if wide else ("utf-8-sig", "surrogateescape")
        # Old Macs' \r ends lines only where no other ends are: elsewhere it is a stray one
        newline = "\n" if "\n" in start.decode(encoding, "ignore") else None
        with io.TextIOWrapper(file, encoding, errors, newline) as text:
            for number, line in enumerate(text, start=1):  # noqa: B007
                yield line.rstrip("\r\n")
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ValueError(f"{origin} is damaged: {error}; copy or download it again") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{origin} starts like {wide.upper()}, but somewhere behind line {number} it is not: "
            f"{error.reason}"
        ) from error


def _is_wide(start):
    """Whether the start of a file has tabs or ends of lines if it is read as UTF-16."""
    for kind in ("utf-16-le", "utf-16-be"):
        with contextlib.suppress(UnicodeDecodeError):
            text = codecs.getincrementaldecoder(kind)().decode(start)
            if not {"\t", "\r", "\n"}.isdisjoint(text):
                return True
    return False


def decoded(line: str, origin: str, number: int, bad: BadLines) -> str | None:
    """The line, or None if it has a byte that is not UTF-8, which `bad` is told."""
    wrong = _SURROGATE.search(line)
    if wrong is None:
        return line
    position = len(line[: wrong.start()].encode())
    bad.add(
        f"{origin}, line {number}: byte {ord(wrong[0]) - 0xDC00:#04x} at position {position} is "
        "not UTF-8; convert the file to UTF-8"
    )
    return None


def columns(rows: Iterable[str], origin: str, bad: BadLines) -> Iterator[tuple[str, str]]:
    """The pairs of `source<TAB>target` lines; further columns and empty lines are passed over.

    Args:
        rows: the lines, as `lines` gives them.
        origin: what to call the file in errors.
        bad: told of lines that are no pair.

    Yields:
        (source, target), stripped strings.

    Raises:
        ValueError: at a bad line, if `bad` says so; or if there is no line.
    """
    empty = True
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        empty = False
        text = decoded(row, origin, number, bad)
        if text is None:
            continue
        sides = [column.strip() for column in text.split("\t")[:2]]
        if len(sides) == 2 and all(sides):
            yield sides[0], sides[1]
            continue
        bad.add(
            f"{origin}, line {number}: expected source<TAB>target with words on both sides, "
            f"found {text.strip()[:60]!r}"
        )
    if empty:
        raise ValueError(f"{origin} is empty; expected lines of source<TAB>target")


def aligned(paths: Sequence[str | os.PathLike[str]], bad: BadLines) -> Iterator[tuple[str, str]]:
    """The pairs of two files, of which line n of one translates line n of the other.

    Args:
        paths: of the sources and of the targets.
        bad: told of lines that have words on one side only.

    Yields:
        (source, target), stripped strings.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if one file has more lines; at a bad line, if `bad` says so; or if both are
            empty.
    """
    names = [str(path) for path in paths]
    empty = True
    for number, rows in enumerate(zip_longest(*map(lines, paths)), start=1):
        if None in rows:
            short, long = (0, 1) if rows[0] is None else (1, 0)
            raise ValueError(
                f"{names[short]} ends after line {number - 1}, but {names[long]} has a line "
                f"{number}: {rows[long].strip()[:60]!r}; both files need the same lines"
            )
        if not any(row.strip() for row in rows):
            continue
        empty = False
        texts = [decoded(row, name, number, bad) for row, name in zip(rows, names)]
        if None in texts:
            continue
        sides = [text.strip() for text in texts]
        if all(sides):
            yield sides[0], sides[1]
            continue
        bad.add(
            f"line {number} has words in {names[0 if sides[0] else 1]} alone: "
            f"{(sides[0] or sides[1])[:60]!r}"
        )
    if empty:
        raise ValueError(f"{names[0]} and {names[1]} are empty; expected a sentence a line")


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


def archive_lines(path: Path) -> Iterator[str]:
    """The lines of the d2l archive's file.

    Raises:
        ValueError: if the archive has an entry that would leave its folder.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            place = PurePosixPath(entry.replace("\\", "/"))
            if place.is_absolute() or ".." in place.parts or ":" in entry:
                raise ValueError(f"{path}: the entry {entry!r} would leave the folder; refused")
        with archive.open(ARCHIVE_MEMBER) as file:
            yield from _decode(io.BufferedReader(file), ARCHIVE_MEMBER)


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


def folder_pairs(folder: Path, found: Found, bad: BadLines) -> Iterator[tuple[str, str]]:
    """The pairs of all files in a folder that can be read; `bad` is told of those that cannot.

    Of a file that turns out bad in the middle nothing is taken, unless `bad` skips such lines.

    Args:
        folder: its path, for messages.
        found: what `find_files` found in it.
        bad: told of lines that are no pair, and of files.

    Yields:
        (source, target), stripped strings.

    Raises:
        ValueError: if no file can be read.
    """
    bad.folder, bad.unread = str(folder), list(found.problems)
    for path in found.files:
        try:
            pairs = list(columns(lines(path), path.name, bad))
        except OSError as error:
            bad.unread.append((path, _reason(error)))
        except ValueError as error:
            bad.unread.append((path, str(error)))
        else:
            bad.num_files += 1
            yield from pairs
    if bad.num_files == 0:
        title = f"the folder {bad.folder!r} has no *.txt file of source<TAB>target lines that can "
        raise ValueError(_listed(f"{title}be read{':' if bad.unread else ''}", bad.reasons()))
