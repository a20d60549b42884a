"""How good translations and attention weights are, on token lists and NumPy arrays."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from d2l_ext.vocab import UNSPACED, short_code


class LengthBin(NamedTuple):
    """The translations of sentences with `low` to `high` tokens: how many, and their BLEU."""

    low: int
    high: int
    count: int
    bleu: float


def bleu(hypotheses: Iterable[Sequence[str]], references: Iterable[Sequence[str]]) -> float:
    """Corpus BLEU of tokenized translations, computed by sacrebleu.

    The tokens are taken as they are (sacrebleu's `tokenize="none"`). Where no hypothesis has four
    tokens, the longest n-grams that there are count (`effective_order`); otherwise this is
    sacrebleu's default.

    Args:
        hypotheses: list of token sequences.
        references: list of as many token sequences, the right translations.

    Returns:
        Float between 0 and 100.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if there are no sentences, or the two lists differ in length.

    Source: Papineni et al. 2002; Post (2018) on sacrebleu.
    """
    from sacrebleu.metrics import BLEU

    hypotheses, references = _sentences(hypotheses, references)
    scorer = BLEU(tokenize="none", force=True, effective_order=True)
    joined = [" ".join(tokens) for tokens in references]
    return scorer.corpus_score([" ".join(tokens) for tokens in hypotheses], [joined]).score


class TextScores(NamedTuple):
    """Scores of translated texts, each from 0 to 100, and how BLEU has cut them into tokens."""

    bleu: float
    chrf: float
    tokenizer: str


# What sacrebleu cuts a language with that 13a does not fit.
_TOKENIZERS = dict.fromkeys(UNSPACED, "char") | {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}


def score_texts(
    hypotheses: Sequence[str], references: Sequence[str], language: str = ""
) -> TextScores:
    """Corpus BLEU and chrF of translations as texts, both by sacrebleu.

    BLEU has sacrebleu's own tokenizer for the language: zh for Chinese, ja-mecab and ko-mecab for
    Japanese and Korean if mecab is installed and single characters if not, single characters for
    Thai, Lao, Khmer and Burmese, and 13a otherwise. chrF compares runs of up to six characters and
    needs no tokens. Capital letters count. A corpus that has lost them, as `corpora.load` makes it
    unless `lower` is False, has references in small letters, and its scores are to be compared
    with those of other lower-case texts alone.

    Args:
        hypotheses: list of strings, not tokenized.
        references: list of as many strings.
        language: code of the target language, or "".

    Returns:
        `TextScores`.

    Raises:
        ValueError: if there are no texts, or the two lists differ in length.

    Warns:
        UserWarning: if mecab would be needed and is not installed.

    Source: Post (2018) on sacrebleu; Popović (2015) on chrF.
    """
    from sacrebleu.metrics import BLEU, CHRF

    if len(hypotheses) != len(references) or len(references) == 0:
        raise ValueError(f"{len(hypotheses)} hypotheses, but {len(references)} references")
    language = short_code(language)
    tokenizer = _TOKENIZERS.get(language, "13a")
    try:
        scorer = BLEU(tokenize=tokenizer, effective_order=True)
    except (ImportError, RuntimeError):
        warnings.warn(
            f"mecab is not installed, so BLEU takes single characters for tokens; for {tokenizer} "
            f"run `pip install 'sacrebleu[{language}]'`",
            stacklevel=2,
        )
        tokenizer = "char"
        scorer = BLEU(tokenize=tokenizer, effective_order=True)
    return TextScores(
        scorer.corpus_score(hypotheses, [references]).score,
        CHRF().corpus_score(hypotheses, [references]).score,
        tokenizer,
    )


def bleu_by_length(
    hypotheses: Iterable[Sequence[str]],
    references: Iterable[Sequence[str]],
    lengths: Sequence[int],
    edges: Sequence[int] | None = None,
) -> list[LengthBin]:
    """Corpus BLEU of sentences grouped by length.

    Args:
        hypotheses: list of token sequences.
        references: list of as many token sequences.
        lengths: list of as many integers, usually the numbers of source tokens.
        edges: increasing integers; a bin holds the lengths above one edge and up to the next. None
            stands for 0, 5, 10, ... up to the longest sentence.

    Returns:
        List of `LengthBin`s, one fewer than edges. An empty bin has BLEU NaN.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if there are no sentences, the lists differ in length, the edges do not
            increase, or a length lies outside them.
    """
    hypotheses, references = _sentences(hypotheses, references)
    lengths = np.asarray(lengths)
    if lengths.shape != (len(hypotheses),):
        raise ValueError(f"{len(hypotheses)} hypotheses, but lengths of shape {lengths.shape}")
    if edges is None:
        edges = range(0, int(lengths.max()) + 5, 5)
    edges = np.asarray(edges)
    if edges.ndim != 1 or len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(f"edges are {edges.tolist()}; expected two or more increasing integers")
    outside = lengths[(lengths <= edges[0]) | (lengths > edges[-1])]
    if len(outside) > 0:
        raise ValueError(
            f"a sentence has length {outside[0]}, but the edges take {edges[0] + 1} to {edges[-1]}"
        )
    bins = []
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist()):
        chosen = np.flatnonzero((lengths > low) & (lengths <= high))
        score = float("nan")
        if len(chosen) > 0:
            score = bleu([hypotheses[i] for i in chosen], [references[i] for i in chosen])
        bins.append(LengthBin(low + 1, high, len(chosen), score))
    return bins


def mistakes(
    hypotheses: Iterable[Sequence[str]], references: Iterable[Sequence[str]]
) -> dict[str, list[int]]:
    """Which translations differ from their references, by the kind of difference.

    Args:
        hypotheses: list of token sequences.
        references: list of as many token sequences.

    Returns:
        Dict from "one word is wrong", "several words are wrong" (both of as many words as the
        reference has), "words are missing" and "words too many" to the indices of such sentences.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if there are no sentences, or the two lists differ in length.
    """
    hypotheses, references = _sentences(hypotheses, references)
    kinds = "one word is wrong", "several words are wrong", "words are missing", "words too many"
    found = {kind: [] for kind in kinds}
    for i, (hypothesis, reference) in enumerate(zip(hypotheses, references)):
        wrong = sum(token != wanted for token, wanted in zip(hypothesis, reference))
        if len(hypothesis) != len(reference):
            found[kinds[2 if len(hypothesis) < len(reference) else 3]].append(i)
        elif wrong:
            found[kinds[min(wrong, 2) - 1]].append(i)
    return found


def describe_mistakes(
    hypotheses: Mapping[str, Iterable[Sequence[str]]],
    sources: Iterable[Sequence[str]],
    references: Iterable[Sequence[str]],
) -> str:
    """Count the kinds of `mistakes` of one or several models, with examples.

    Args:
        hypotheses: dict of name -> list of token sequences.
        sources: list of as many token sequences.
        references: list of as many token sequences.

    Returns:
        Several lines: a table with a row for each kind and a column for each name, and below it
        the first mistake of each kind in the last column.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if there are no sentences, or two lists differ in length.
    """
    sources, references = _sentences(sources, references, "sources")
    tokens = {name: list(found) for name, found in hypotheses.items()}
    kinds = {name: mistakes(found, references) for name, found in tokens.items()}
    last = list(kinds)[-1]
    lines = [" " * 24 + "".join(f"{name:>14}" for name in kinds)]
    for kind in kinds[last]:
        lines.append(f"{kind:24}" + "".join(f"{len(of[kind]):14}" for of in kinds.values()))
    for kind, (i, *_) in ((kind, found) for kind, found in kinds[last].items() if found):
        shown = {"source": sources, "reference": references, "translation": tokens[last]}
        lines += ["", f"{kind} ({last})" if len(kinds) > 1 else kind]
        lines += [f"{name + ':':13}{' '.join(texts[i])}" for name, texts in shown.items()]
    return "\n".join(lines)


def token_accuracy_by_position(
    hypotheses: Iterable[Sequence[str]], references: Iterable[Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """How often the token at each position of a translation is the right one.

    Args:
        hypotheses: list of token sequences. One that ends early is wrong at the positions it
            lacks.
        references: list of as many token sequences.

    Returns:
        accuracy (positions,), between 0 and 1, and counts (positions,), the number of references
        that have a token there; positions is the length of the longest reference.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if there are no sentences, or the two lists differ in length.
    """
    hypotheses, references = _sentences(hypotheses, references)
    positions = max(len(tokens) for tokens in references)
    right, counts = np.zeros(positions), np.zeros(positions, dtype=int)
    for hypothesis, reference in zip(hypotheses, references):
        counts[: len(reference)] += 1
        for t, (token, wanted) in enumerate(zip(hypothesis, reference)):
            right[t] += token == wanted
    return right / counts, counts


def exact_match(hypotheses: Iterable[Sequence[str]], references: Iterable[Sequence[str]]) -> float:
    """The share of outputs that are right in every token.

    Args:
        hypotheses: list of token sequences.
        references: list of as many token sequences, the right outputs.

    Returns:
        Float between 0 and 1.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if there are no sentences, or the two lists differ in length.
    """
    hypotheses, references = _sentences(hypotheses, references)
    same = [tuple(tokens) == tuple(wanted) for tokens, wanted in zip(hypotheses, references)]
    return sum(same) / len(same)


class _Words:
    """Tokenizer for rouge-score, whose own one drops signs: the tokens are tokens already."""

    def tokenize(self, text):
        return text.split()


def rouge_l(hypotheses: Iterable[Sequence[str]], references: Iterable[Sequence[str]]) -> float:
    """Mean ROUGE-L of summaries, computed by rouge-score.

    With the longest common subsequence of a summary and its reference, precision is its share of
    the summary's tokens and recall its share of the reference's; ROUGE-L is their harmonic mean.
    The tokens are taken as they are.

    Args:
        hypotheses: list of token sequences.
        references: list of as many token sequences, the right summaries.

    Returns:
        Float between 0 and 1.

    Raises:
        TypeError: if a sentence is a string.
        ValueError: if there are no sentences, or the two lists differ in length.

    Source: Lin (2004).
    """
    from rouge_score.rouge_scorer import RougeScorer

    hypotheses, references = _sentences(hypotheses, references)
    scorer = RougeScorer(["rougeL"], tokenizer=_Words())
    scores = [
        scorer.score(" ".join(wanted), " ".join(tokens))["rougeL"].fmeasure
        for tokens, wanted in zip(hypotheses, references)
    ]
    return sum(scores) / len(scores)


def evidence_accuracy(
    attention_weights: Sequence[ArrayLike],
    spans: Sequence[Sequence[tuple[int, int]]],
    evidence: Sequence[int],
) -> float:
    """How often the sentence that got most attention is the one that holds the answer.

    The weights are summed over each sentence; the largest sum is the sentence found.

    Args:
        attention_weights: list of arrays (source tokens,), those of the step that writes the
            answer. Weight outside all spans counts for none.
        spans: list of as many lists of (start, end), the sentences among which to choose.
        evidence: list of as many indices into the spans, the sentences that hold the answers.

    Returns:
        Float between 0 and 1.

    Raises:
        ValueError: if there are no texts, the lists differ in length, an array is not
            one-dimensional, a span leaves its array, or an index its spans.
    """
    if not len(attention_weights) == len(spans) == len(evidence):
        raise ValueError(
            f"{len(attention_weights)} arrays of attention weights, {len(spans)} lists of spans, "
            f"but {len(evidence)} sentences that hold the answer"
        )
    if len(evidence) == 0:
        raise ValueError("there are no texts to score")
    right = 0
    for number, (weights, own, gold) in enumerate(zip(attention_weights, spans, evidence)):
        weights = np.asarray(weights)
        if weights.ndim != 1:
            raise ValueError(
                f"attention weights of text {number} have shape {weights.shape}; expected "
                "(source tokens,), those of one step"
            )
        if not 0 <= gold < len(own):
            raise ValueError(f"text {number} has {len(own)} sentences, but evidence {gold}")
        for start, end in own:
            if not 0 <= start < end <= len(weights):
                raise ValueError(
                    f"a sentence of text {number} spans {start} to {end}, but there are "
                    f"{len(weights)} attention weights"
                )
        sums = [weights[start:end].sum() for start, end in own]
        right += int(np.argmax(sums)) == gold
    return right / len(evidence)


def alignment_error_rate(
    attention_weights: Sequence[ArrayLike],
    alignments: Sequence[Iterable[tuple[int, int]] | None],
) -> float:
    """Compare attention weights with gold word alignments.

    Each target token is linked to the source token with its largest weight. With A the links found
    and S the gold ones, all of them sure, summed over the sentences,

        AER = 1 - 2 |A ∩ S| / (|A| + |S|).

    One link for each target token cannot be perfect where gold has several.

    Args:
        attention_weights: list of arrays (target tokens, source tokens), without the row and
            column of <eos>: `weights[: len(pair.target), : len(pair.source)]`. They should come
            from teacher forcing, since the gold links belong to the reference.
        alignments: list of as many sequences of (source index, target index).

    Returns:
        Float between 0, perfect, and 1.

    Raises:
        ValueError: if there are no sentences, the two lists differ in length, an array is not
            two-dimensional, or a sentence has no gold alignment or links beyond its array.

    Source: Och and Ney (2003), without possible links.
    """
    if len(attention_weights) != len(alignments):
        raise ValueError(
            f"{len(attention_weights)} arrays of attention weights, "
            f"but {len(alignments)} alignments"
        )
    if len(alignments) == 0:
        raise ValueError("there are no sentences to score")
    agreed = total = 0
    for number, (weights, alignment) in enumerate(zip(attention_weights, alignments)):
        if alignment is None:
            raise ValueError(f"sentence {number} has no gold alignment; the grammar's pairs have")
        weights = np.asarray(weights)
        if weights.ndim != 2:
            raise ValueError(
                f"attention weights of sentence {number} have shape {weights.shape}; "
                "expected (target tokens, source tokens)"
            )
        gold = {(int(i), int(j)) for i, j in alignment}
        for i, j in gold:
            if not (0 <= j < weights.shape[0] and 0 <= i < weights.shape[1]):
                raise ValueError(
                    f"sentence {number} links source token {i} with target token {j}, but its "
                    f"attention weights have shape {weights.shape}"
                )
        found = {(int(i), j) for j, i in enumerate(weights.argmax(axis=1))}
        agreed += len(found & gold)
        total += len(found) + len(gold)
    if total == 0:
        raise ValueError("the sentences have no tokens and no links to score")
    return 1 - 2 * agreed / total


def _sentences(hypotheses, references, name="hypotheses"):
    """Both as lists, checked."""
    hypotheses, references = list(hypotheses), list(references)
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} {name}, but {len(references)} references")
    if len(hypotheses) == 0:
        raise ValueError("there are no sentences to score")
    for sentence in (*hypotheses, *references):
        if isinstance(sentence, str):
            raise TypeError(f"{sentence!r} is a string; expected a sequence of tokens")
    return hypotheses, references
