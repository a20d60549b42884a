"""Vocabularies: how a text is cut into tokens, which index each has, and how tokens become text.

`Vocab` cuts English and French into words. `Subwords` cuts any text, in any script, into pieces
that byte-pair encoding has found to be frequent; what no piece covers is spelled in bytes, so that
nothing is unknown.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Self, overload

import numpy as np

SPECIAL_TOKENS = ("<unk>", "<pad>", "<bos>", "<eos>")
KINDS = ("words", "subwords", "characters")

# Words ------------------------------------------------------------------------------------------

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


class Vocab:
    """A list of tokens, special ones first, and the way back from a token to its index.

    This one cuts text into words, by `tokenize`.

    Args:
        tokens: the tokens in order; they must start with `SPECIAL_TOKENS` and be distinct.
        language: the code of the language, such as "en" or "zh"; "" if nobody has said.

    Raises:
        ValueError: if the tokens do not start so, or are not distinct.
    """

    unk, pad, bos, eos = range(len(SPECIAL_TOKENS))
    kind = "words"

    def __init__(self, tokens: Iterable[str], language: str = "") -> None:
        self.tokens = list(tokens)
        self.language = language
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
    def build(
        cls, sentences: Iterable[Iterable[str]], min_freq: int = 1, language: str = ""
    ) -> Self:
        """The vocabulary of some sentences, frequent tokens first, ties in alphabetical order.

        Args:
            sentences: iterable of token sequences.
            min_freq: tokens that are rarer are left out.
            language: as for the class.

        Returns:
            Vocab.
        """
        counts = Counter(token for sentence in sentences for token in sentence)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [token for token, n in ordered if n >= min_freq and token not in SPECIAL_TOKENS]
        return cls([*SPECIAL_TOKENS, *kept], language)

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

    def tokenize(self, text: str) -> list[str]:
        """Cut a text into tokens, which need not be in the vocabulary."""
        return tokenize(text)

    def detokenize(self, tokens: Iterable[str]) -> str:
        """Join tokens into a text."""
        return detokenize(tokens)

    def words(self, tokens: Sequence[str]) -> list[tuple[int, int]]:
        """Where the words of a token sequence begin and end, as (start, end)."""
        return [(i, i + 1) for i in range(len(tokens))]

    def to_json(self) -> str:
        """Everything that makes this vocabulary, for a file; `from_json` reads it."""
        return json.dumps(self._parts(), ensure_ascii=False)

    def _parts(self):
        return {"kind": self.kind, "language": self.language, "tokens": self.tokens}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocab) and self._parts() == other._parts()

    __hash__ = None

    def __repr__(self) -> str:
        return f"Vocab({len(self)} {self.kind})"


# Subwords ---------------------------------------------------------------------------------------

BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTINUED = re.compile(r"<0x[89AB][0-9A-F]>")  # a byte within a character of UTF-8
# Merges stay within such a piece: a word with the space before it and the apostrophe behind it, a
# digit, or a run of signs. Vowel signs (\p{M}) belong to their letters. Nothing is tried twice
# (?+, ++), which is faster.
_PIECE = r" ?+(?:[\p{L}\p{M}]++['’]?+|\p{N}|[^\s\p{L}\p{M}\p{N}]++)|\s++"


class Subwords(Vocab):
    """Pieces of text found by byte-pair encoding, with bytes for what they do not cover.

    A token that begins a word has the space before it in front. Text goes in and comes out as it
    was, but for Unicode normalization (NFC) and, if `lower`, capital letters; a text of nothing
    but spaces has no tokens.

    Args:
        tokens: `SPECIAL_TOKENS`, `BYTES`, then the pieces.
        merges: pairs of pieces that make a piece, in the order in which they were found; none for
            single characters.
        language: code of the language, or "".
        lower: whether capital letters become small ones.
        spaced: whether the language puts spaces between words; a text then gets one in front, so
            that its first word looks like all others.

    Raises:
        ValueError: if the tokens do not start so, or are not distinct.

    Source: Sennrich et al. (2016) for words as pieces; the `tokenizers` library does the work.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        merges: Iterable[Sequence[str]] = (),
        language: str = "",
        lower: bool = True,
        spaced: bool = True,
    ) -> None:
        super().__init__(tokens, language)
        start = len(SPECIAL_TOKENS)
        if tuple(self.tokens[start : start + len(BYTES)]) != BYTES:
            raise ValueError(
                "a vocabulary of subwords has the 256 bytes behind the special tokens"
            )
        self.merges = [tuple(merge) for merge in merges]
        self.lower, self.spaced = lower, spaced

    @property
    def kind(self) -> str:
        return "subwords" if self.merges else "characters"

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        vocab_size: int,
        language: str = "",
        lower: bool = True,
        merge: bool = True,
        spaced: bool | None = None,
    ) -> Self:
        """Find the pieces of some texts.

        Args:
            texts: sequence of strings.
            vocab_size: most tokens, the special ones and the bytes counted.
            language: code of the language, or "".
            lower: whether capital letters become small ones.
            merge: False for single characters.
            spaced: as for the class; None to ask `has_spaces`.

        Returns:
            Subwords.

        Raises:
            ValueError: if the size leaves no room for pieces.
        """
        from tokenizers import Tokenizer, models, trainers

        fixed = [*SPECIAL_TOKENS, *BYTES]
        room = vocab_size - len(fixed)
        if room < 1:
            raise ValueError(
                f"vocab_size is {vocab_size}, but {len(SPECIAL_TOKENS)} special tokens and 256 "
                f"bytes are in every vocabulary of subwords; ask for more than {len(fixed)}"
            )
        if spaced is None:
            spaced = has_spaces(texts, language)
        vocab = cls(fixed, (), language, lower, spaced)
        learner = Tokenizer(models.BPE())
        learner.pre_tokenizer = _pieces()
        prepared = [vocab.prepare(text) for text in texts]
        # Half of the room at most for single characters, so that Chinese has merges too. Which
        # ones is said here, since the trainer leaves it to chance among equally frequent ones.
        counts = Counter(chain.from_iterable(prepared))
        frequent = sorted(counts, key=lambda character: (-counts[character], character))
        alphabet = frequent[: max(1, room // 2) if merge else room]
        trainer = trainers.BpeTrainer(
            vocab_size=room if merge else 0,
            min_frequency=2,
            initial_alphabet=alphabet,
            limit_alphabet=len(alphabet),
            show_progress=False,
        )
        learner.train_from_iterator(prepared, trainer)
        learned = json.loads(learner.to_str())["model"]
        pieces = sorted(learned["vocab"], key=learned["vocab"].get)
        return cls([*fixed, *pieces], learned["merges"], language, lower, spaced)

    @cached_property
    def _encoder(self):
        from tokenizers import Tokenizer, models

        # A model, without added tokens: as "special tokens" bytes would vanish in decoding.
        encoder = Tokenizer(models.BPE(self._index, self.merges, byte_fallback=True))
        encoder.pre_tokenizer = _pieces()
        return encoder

    def prepare(self, text: str) -> str:
        """The text as it is cut: normalized, lower-case if asked for, with its space in front."""
        text = unicodedata.normalize("NFC", text)
        text = unicodedata.normalize("NFC", text.lower()) if self.lower else text
        if not text.strip():
            return ""
        return " " + text if self.spaced else text

    def tokenize(self, text: str) -> list[str]:
        return self.to_tokens(self.ids_of([text])[0])

    def ids_of(self, texts: Sequence[str]) -> list[list[int]]:
        """The indices of the tokens of many texts, which is faster than one by one."""
        prepared = [self.prepare(text) for text in texts]
        for text in prepared:
            if _SURROGATE.search(text):
                raise ValueError(f"{text[:60]!r} is no valid Unicode: it has a lone surrogate")
        # "fast": without the places in the text, which nobody asks for
        return [encoding.ids for encoding in self._encoder.encode_batch_fast(prepared)]

    def detokenize(self, tokens: Iterable[str]) -> str:
        text, waiting = "", bytearray()
        for token in (*tokens, ""):
            byte = _BYTE.fullmatch(token)
            if byte:
                waiting.append(int(byte[1], 16))
                continue
            text += waiting.decode("utf-8", errors="replace") + token
            waiting.clear()
        return text[1:] if self.spaced and text.startswith(" ") else text

    def words(self, tokens: Sequence[str]) -> list[tuple[int, int]]:
        """Where the words begin and end; bytes of one character stay together in any language."""
        starts = [
            i
            for i, token in enumerate(tokens)
            if i == 0
            or token in SPECIAL_TOKENS
            or tokens[i - 1] in SPECIAL_TOKENS
            or (token.startswith(" ") if self.spaced else not _CONTINUED.fullmatch(token))
        ]
        return list(zip(starts, [*starts[1:], len(tokens)]))

    def _parts(self):
        merges = [list(merge) for merge in self.merges]
        return super()._parts() | {"merges": merges, "lower": self.lower, "spaced": self.spaced}


def _pieces():
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(_PIECE), behavior="isolated")


def from_json(text: str) -> Vocab:
    """The vocabulary that `Vocab.to_json` has written.

    Args:
        text: string. A list of tokens alone, as release 0.1 wrote it, is one of words.

    Returns:
        `Vocab` or `Subwords`.

    Raises:
        ValueError: if it is none.
    """
    parts = json.loads(text)
    if isinstance(parts, list):
        return Vocab(parts)
    kind = parts.pop("kind", None) if isinstance(parts, dict) else None
    if kind not in KINDS:
        raise ValueError(f"a vocabulary is of kind {kind!r}; expected one of {', '.join(KINDS)}")
    try:
        return Vocab(**parts) if kind == "words" else Subwords(**parts)
    except TypeError as error:
        raise ValueError(f"a vocabulary of {kind} has other parts: {error}") from error


def join_weights(
    weights: np.ndarray,
    source: Sequence[tuple[int, int]],
    target: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Attention between words, from that between their pieces.

    A word that is looked at gets the weights of all its pieces; a word that looks, the mean of its
    pieces' looks. So each row still sums to 1.

    Args:
        weights: array (target tokens, source tokens).
        source: (start, end) of each source word, as `Vocab.words` gives them.
        target: those of each target word.

    Returns:
        Array (target words, source words).

    Raises:
        ValueError: if the words of a side are not all of its tokens, one after the other.
    """
    for spans, size in zip((target, source), weights.shape):
        if [0, *(end for _, end in spans)] != [*(start for start, _ in spans), size]:
            raise ValueError(f"words at {spans} are not those of {size} tokens")
    weights = np.add.reduceat(weights, [start for start, _ in source], axis=1)
    sums = np.add.reduceat(weights, [start for start, _ in target], axis=0)
    return sums / np.array([[end - start] for start, end in target])


# Languages --------------------------------------------------------------------------------------

# The first letters of a character's Unicode name, and the language that it speaks for.
_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "HANGUL": "ko",
    "DEVANAGARI": "hi",
    "ARABIC": "ar",
    "HEBREW": "he",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "CYRILLIC": "ru",
    "GREEK": "el",
}

UNSPACED = ("zh", "ja", "th", "lo", "km", "my")  # no spaces between words
# The codes of three letters of the languages of which we know something.
_LONG = {"cmn": "zh", "zho": "zh", "jpn": "ja", "kor": "ko"}
_LONG |= {"tha": "th", "lao": "lo", "khm": "km", "mya": "my"}


def short_code(code: str) -> str:
    """The code by which this library knows a language: "zh" for "zh-CN", "ZH" and "cmn"."""
    code = re.split("[-_]", code)[0].lower()
    return _LONG.get(code, code)


def has_spaces(texts: Sequence[str], language: str = "") -> bool:
    """Tell whether there are spaces between words: by the language or, if none is said, by sight.

    Args:
        texts: sequence of strings.
        language: code of the language, or "".

    Returns:
        Bool. Without a language it says whether most of the texts have a space.
    """
    if language:
        return language not in UNSPACED
    return sum(" " in text.strip() for text in texts) > len(texts) / 2


def guess_language(text: str) -> str:
    """Guess a language from its script.

    Args:
        text: string, the longer the better.

    Returns:
        A code such as "zh", or "" for Latin and other scripts, which do not tell. Japanese is
        recognized by its kana; Cyrillic counts as Russian, Arabic letters as Arabic.
    """
    scripts = Counter(unicodedata.name(c, "").partition(" ")[0] for c in text if c.isalpha())
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0.05 * scripts.total():
        return "ja"
    (script, _), *_ = scripts.most_common(1) or [("", 0)]
    return _SCRIPTS.get(script.partition("-")[0], "")
