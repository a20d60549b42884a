"""Subwords: what goes in comes out, in any script; words and their borders; languages."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2l_ext import corpora, vocab
from d2l_ext.vocab import BYTES, SPECIAL_TOKENS, Subwords, Vocab

# Written for these tests, a few sentences in each of the scripts that readers bring.
TEXTS = {
    "zh": ["我今天很高兴。", "你今天去哪里？", "他的书在桌子上。", "我们明天去学校。"],
    "ja": ["今日はいい天気ですね。", "本は机の上にあります。", "彼女は学校へ行きます。"],
    "hi": ["मेरी किताब मेज़ पर है।", "तुम कहाँ जा रहे हो?", "हम कल स्कूल जाएँगे।"],
    "ar": ["الكتاب على الطاولة.", "إلى أين تذهب اليوم؟", "نحن نحب المدرسة."],
    "th": ["หนังสืออยู่บนโต๊ะ", "วันนี้คุณจะไปไหน", "เราชอบโรงเรียน"],
    "": ["The book is on the table.", "L'homme n'aime pas l'été.", "Where are you going today?"],
}


def trained(language, **options):
    return Subwords.train(40 * TEXTS[language], 600, language, **options)


VOCABS = {language: trained(language) for language in TEXTS}


def expected(text, lower=True):
    text = unicodedata.normalize("NFC", text) if text.strip() else ""
    return unicodedata.normalize("NFC", text.lower()) if lower else text


@pytest.mark.parametrize("language", TEXTS)
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_what_goes_in_comes_out(language, text):
    known = VOCABS[language]
    tokens = known.tokenize(text)
    assert known.detokenize(tokens) == expected(text)
    assert all(token in known for token in tokens)


@pytest.mark.parametrize("language", TEXTS)
def test_every_script_comes_back_from_every_vocabulary(language):
    for known in VOCABS.values():
        for text in TEXTS[language]:
            tokens = known.tokenize(text)
            assert known.detokenize(tokens) == expected(text)
            assert known.unk not in known[tokens]
    own = [VOCABS[language].tokenize(text) for text in TEXTS[language]]
    assert not any(token in BYTES for tokens in own for token in tokens)


@pytest.mark.parametrize(
    "text",
    ["<pad> <unk> <0xE6>", " two  spaces ", "\ttab\n", "▁the", "👩‍👩‍👧", "e\u0301", "\0"],
)
def test_odd_texts(text):
    for known in VOCABS.values():
        tokens = known.tokenize(text)
        assert known.detokenize(tokens) == expected(text)
        assert not set(tokens) & set(SPECIAL_TOKENS)


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u3000"])
def test_a_blank_text_has_no_tokens(blank):
    for known in VOCABS.values():
        assert known.tokenize(blank) == []


def test_case_is_kept_on_request():
    known = trained("", lower=False)
    assert known.detokenize(known.tokenize("L'Homme OK")) == "L'Homme OK"


def test_merges_by_hand():
    """Each line has 'bb' four times, and nothing else twice but ' bb'."""
    known = Subwords.train(["bbbbbbbb"] * 3, 1000, lower=False)
    assert known.merges == [("b", "b"), ("bb", "bb"), ("bbbb", "bbbb")]
    assert known.tokenize("bbbbbb") == ["bbbb", "bb"]


def test_single_characters():
    known = trained("zh", merge=False)
    assert known.kind == "characters"
    assert known.tokenize("我高兴。龘") == [
        "我",
        "高",
        "兴",
        "。",
        *["<0xE9>", "<0xBE>", "<0x98>"],
    ]


def test_of_equally_frequent_characters_the_first_are_kept():
    known = Subwords.train(["hgfedcba", "aah"], 264, merge=False)  # room for four
    assert known.tokens[-4:] == ["a", "b", "c", "h"]


def test_words_of_subwords():
    tokens = [" un", "happ", "y", " dog", "s", ".", "<eos>"]
    assert VOCABS[""].words(tokens) == [(0, 3), (3, 6), (6, 7)]
    tokens = ["我", "<0xE9>", "<0xBE>", "<0x98>", "很"]
    assert VOCABS["zh"].words(tokens) == [(0, 1), (1, 4), (4, 5)]
    assert VOCABS["zh"].words([]) == []
    assert Vocab.build([["a", "b"]]).words(["a", "b"]) == [(0, 1), (1, 2)]


def test_weights_of_words_by_hand():
    weights = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [1.0, 0.0, 0.0]])
    joined = vocab.join_weights(weights, [(0, 2), (2, 3)], [(0, 2), (2, 3)])
    np.testing.assert_allclose(joined, [[0.45, 0.55], [1, 0]])
    same = [(i, i + 1) for i in range(3)]
    assert (vocab.join_weights(weights, same, same) == weights).all()
    for spans in ([(0, 2)], [(0, 2), (2, 4)], [(1, 3)], [(0, 1), (2, 3)], []):
        with pytest.raises(ValueError, match="are not those of 3 tokens"):
            vocab.join_weights(weights, same, spans)
        with pytest.raises(ValueError, match="are not those of 3 tokens"):
            vocab.join_weights(weights, spans, same)


@pytest.mark.parametrize("language", TEXTS)
def test_a_vocabulary_survives_a_file(language):
    known = VOCABS[language]
    again = vocab.from_json(known.to_json())
    assert again == known and again.language == language
    for text in TEXTS[language]:
        assert again.tokenize(text) == known.tokenize(text)


def test_bad_vocabularies():
    with pytest.raises(ValueError, match="vocab_size is 260, but 4 special tokens and 256 bytes"):
        Subwords.train(["a"], 260)
    with pytest.raises(ValueError, match="has the 256 bytes behind the special tokens"):
        Subwords([*SPECIAL_TOKENS, "a"])
    with pytest.raises(ValueError, match="of kind 'letters'; expected one of words, subwords"):
        vocab.from_json(json.dumps({"kind": "letters"}))
    with pytest.raises(ValueError, match="a vocabulary of words has other parts"):
        vocab.from_json(json.dumps({"kind": "words", "merges": []}))
    with pytest.raises(ValueError, match="is no valid Unicode"):
        VOCABS[""].tokenize("a\udc80")
    assert vocab.from_json(json.dumps([*SPECIAL_TOKENS, "a"])) == Vocab([*SPECIAL_TOKENS, "a"])


@pytest.mark.parametrize("language", TEXTS)
def test_languages_are_guessed_by_their_script(language):
    assert corpora.guess_language(" ".join(TEXTS[language])) == language


def test_other_languages():
    for text, language in (
        ("Где моя книга?", "ru"),
        ("안녕하세요", "ko"),
        ("ສະບາຍດີ", "lo"),
        ("សួស្តី", "km"),
        ("မင်္ဂလာပါ", "my"),
        ("123", ""),
        ("", ""),
    ):
        assert corpora.guess_language(text) == language


def test_a_language_decides_whether_words_have_spaces():
    thai = ["มี 2 คน"] * 3
    assert not Subwords.train(thai, 600, "th").spaced
    assert Subwords.train(thai, 600).spaced
    assert Subwords.train(["one"] * 3, 600, "en").spaced


@pytest.mark.parametrize(
    ("code", "short"),
    [("zh-CN", "zh"), ("zh_TW", "zh"), ("ZH", "zh"), ("cmn", "zh"), ("jpn", "ja"), ("fr", "fr")],
)
def test_codes_of_languages(code, short):
    assert vocab.short_code(code) == short
