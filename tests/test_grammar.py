"""The grammar's French, judged by a checker that shares no table with it."""

import hashlib
import re
import time
from collections import defaultdict
from itertools import pairwise

import pytest

from d2l_ext import grammar


def words(text):
    return text.split()


# Nouns of the lexicon: singular and plural.
MASCULINE = words("""
    homme hommes garçon garçons frère frères ami amis voisin voisins
    professeur professeurs chat chats chien chiens
    oiseau oiseaux cheval chevaux hibou hiboux livre livres gâteau gâteaux arbre arbres
    jardin jardins hôtel hôtels
""")
FEMININE = words("""
    femme femmes fille filles sœur sœurs actrice actrices vache vaches lettre lettres
    histoire histoires pomme pommes orange oranges voiture voitures fleur fleurs école écoles
    ville villes maison maisons
""")
NOUNS = {
    noun: (gender, "sp"[i % 2])
    for gender, nouns in (("m", MASCULINE), ("f", FEMININE))
    for i, noun in enumerate(nouns)
}
# Adjectives: the genders and numbers that each form stands with.
ADJECTIVES = defaultdict(set)
for line in """petit petite petits petites
    grand grande grands grandes
    vieux vieille vieux vieilles
    beau belle beaux belles
    nouveau nouvelle nouveaux nouvelles
    bon bonne bons bonnes
    jeune jeune jeunes jeunes
    rouge rouge rouges rouges
    blanc blanche blancs blanches
    heureux heureuse heureux heureuses
    fatigué fatiguée fatigués fatiguées
    intéressant intéressante intéressants intéressantes""".splitlines():
    for features, form in zip(("ms", "fs", "mp", "fp"), words(line), strict=True):
        ADJECTIVES[form].add(tuple(features))
for form in ("vieil", "bel", "nouvel"):
    ADJECTIVES[form] = {("m", "s")}
ANY_SINGULAR = {"votre", "notre", "leur"}
DETERMINERS = {  # gender, number, whether the next word starts with a vowel
    ("m", "s", False): ANY_SINGULAR | {"le", "du", "au", "ce", "un", "de", "mon", "son"},
    ("m", "s", True): ANY_SINGULAR | {"l'", "cet", "un", "d'", "mon", "son"},
    ("f", "s", False): ANY_SINGULAR | {"la", "cette", "une", "de", "ma", "sa"},
    ("f", "s", True): ANY_SINGULAR | {"l'", "cette", "une", "d'", "mon", "son"},
    "p": set(words("les des aux ces mes ses vos nos leurs deux trois de d'")),
}
PRONOUNS = set(words("me m' le la l' les lui leur nous vous"))
VERB_ENDINGS = {
    "je": r"(e|s|x|ai)$",
    "j'": r"(e|s|x|ai)$",
    "il": r"(e|a|(?<!n)t)$",
    "elle": r"(e|a|(?<!n)t)$",
    "ils": r"nt$",
    "s": r"(e|a|(?<!n)t)$",  # a noun in the singular
    "p": r"nt$",
}
DICTIONARY = {
    "dog": {"chien"},
    "dogs": {"chiens"},
    "apple": {"pomme"},
    "cities": {"villes"},
    "actress": {"actrice"},
    "i": {"je", "j'"},
    "she": {"elle"},
    "not": {"ne", "n'", "pas"},
    "often": {"souvent"},
    "very": {"très"},
    "old": {"vieux", "vieil", "vieille", "vieilles"},
    "tired": {"fatigué", "fatiguée", "fatigués", "fatiguées"},
    "buys": {"achète"},
    "looks": {"cherche"},
    "for": {"cherche", "cherches", "cherchons", "cherchez", "cherchent", "chercher"},
    "going": {"vais", "va", "allons", "allez", "vont"},
    "because": {"parce", "que", "qu'"},
    "to": {"à", "au", "aux", "me", "m'", "nous", "vous", "lui", "leur"},
    "with": {"avec"},
    "near": {"près", "de", "d'", "du", "des"},
    "'s": set(words("de d' du des le la l' les au aux")),
    "these": {"ces"},
    "a": {"un", "une", "de", "d'"},
    "many": {"beaucoup", "de", "d'"},
    "tomorrow": {"demain"},
    "paul": {"paul"},
}
NUM_PAIRS = 20_000


@pytest.fixture(scope="module")
def pairs():
    return grammar.generate(NUM_PAIRS, seed=0)


def starts_with_vowel(token):
    return bool(re.match("[aeiouyhéèêâîôœ]", token)) and not token.startswith("hibou")


def noun_phrases(tokens):
    """Yield (determiner, adjectives with their positions, position of the noun)."""
    for i, token in enumerate(tokens):
        if token in NOUNS:
            start = i - 1
            while tokens[start] in ADJECTIVES or tokens[start] == "très":
                start -= 1
            end = i + 1
            while tokens[end] in ADJECTIVES or tokens[end] == "très":
                end += 1
            yield start, end, i


def disagreements(tokens):
    """What is wrong with a French sentence, as a list of strings."""
    wrong = []
    for start, end, i in noun_phrases(tokens):
        gender, number = NOUNS[tokens[i]]
        vowel = starts_with_vowel(tokens[start + 1])
        key = "p" if number == "p" else (gender, number, vowel)
        if tokens[start] not in DETERMINERS[key]:
            wrong.append(f"{tokens[start]} before {tokens[start + 1]}")
        for j in range(start + 1, end):
            adjective = tokens[j]
            if adjective in ADJECTIVES and (gender, number) not in ADJECTIVES[adjective]:
                wrong.append(f"{adjective} with {tokens[i]}")
            if adjective in ("vieil", "bel", "nouvel") and not starts_with_vowel(tokens[j + 1]):
                wrong.append(f"{adjective} before {tokens[j + 1]}")
            if (
                adjective in ("vieux", "beau", "nouveau")
                and number == "s"
                and j < i
                and starts_with_vowel(tokens[j + 1])
            ):
                wrong.append(f"{adjective} before {tokens[j + 1]}")
    subjects = [(i, token) for i, token in enumerate(tokens) if token in VERB_ENDINGS]
    opening = next(noun_phrases(tokens), None)
    if opening is not None and opening[0] == 0 and tokens[opening[1]] not in ("et", "du", "de"):
        subjects.append((opening[1] - 1, NOUNS[tokens[opening[2]]][1]))
    for i, subject in subjects:
        verb = i + 1
        while tokens[verb] in PRONOUNS or tokens[verb] in ("ne", "n'"):
            verb += 1
        if tokens[verb] in ("qui", "que", "qu'", "d'"):
            continue
        if not re.search(VERB_ENDINGS[subject], tokens[verb]):
            wrong.append(f"{subject} {tokens[verb]}")
    return wrong


@pytest.mark.parametrize(
    "sentence",
    [
        "la garçon dort .",
        "le arbre dort .",
        "l' hibou dort .",
        "ma école est grande .",
        "je vois un vieux ami .",
        "je vois un vieil chien .",
        "je vois les petits filles .",
        "je vois une fleur blanc .",
        "les filles chante .",
        "la fille dorment .",
        "il ne les vois pas .",
        "ils travaille .",
        "je parle au filles .",
    ],
)
def test_checker_finds_mistakes(sentence):
    assert disagreements(sentence.split())


@pytest.mark.parametrize(
    "sentence",
    [
        "le vieil homme ne les voit pas .",
        "les vieux amis de la belle actrice dorment .",
        "je parle à de grandes filles .",
        "mon école est grande .",
        "ils cherchent le hibou blanc .",
    ],
)
def test_checker_accepts_french(sentence):
    assert disagreements(sentence.split()) == []


def test_gender_number_and_person_agree(pairs):
    wrong = {" ".join(target): disagreements(target) for _, target, _ in pairs}
    assert {sentence: found for sentence, found in wrong.items() if found} == {}


def test_elision_is_never_missed_nor_too_much(pairs):
    elided = set(words("le la je me ne que de ce ma sa"))
    for _, target, _ in pairs:
        for token, following in pairwise(target):
            if starts_with_vowel(following):
                assert token not in elided, " ".join(target)
            else:
                assert not token.endswith("'"), " ".join(target)


def test_vieil_and_bel_stand_before_nouns_only(pairs):
    spots = 0
    for _, target, _ in pairs:
        for token, following in pairwise(target):
            if token in ("vieil", "bel"):
                spots += 1
                assert following in NOUNS, " ".join(target)
    assert spots > 100


def test_prepositions_contract_with_articles(pairs):
    for _, target, _ in pairs:
        joined = f" {' '.join(target)} "
        for missed in (" de le ", " de les ", " à le ", " à les "):
            # 'à le' would be a preposition before an object pronoun; the grammar has none.
            assert missed not in joined


def test_negation_wraps_the_finite_verb(pairs):
    for source, target, _ in pairs:
        sentence = " ".join(target)
        wrapped = re.findall(r"\b(?:ne |n' )((?:\S+ )*?)pas\b", sentence)
        assert len(wrapped) == source.count("not")
        assert len(wrapped) == target.count("pas")
        assert len(wrapped) == target.count("ne") + target.count("n'")
        for inside in wrapped:
            *pronouns, verb = inside.split()
            assert set(pronouns) <= PRONOUNS, sentence
            assert verb not in PRONOUNS, sentence


def test_object_pronouns_stand_before_the_verb(pairs):
    spots = 0
    for source, target, alignment in pairs:
        partners = defaultdict(list)
        for i, j in alignment:
            partners[i].append(j)
        for i, word in enumerate(source):
            if word in ("me", "him", "us", "them"):
                spots += 1
                (pronoun,) = partners[i]
                assert target[pronoun] in PRONOUNS
                if source[i - 1] != "to":  # else the verb may be further away
                    assert all(pronoun < verb for verb in partners[i - 1]), " ".join(source)
                assert target[pronoun + 1] not in NOUNS
                assert target[pronoun + 1] not in (".", "?")
    assert spots > 1000


def test_english_agrees(pairs):
    for source, _, _ in pairs:
        for word, following in pairwise(source):
            if word == "a":
                assert following[0] not in "aeiou", " ".join(source)
            if word == "an":
                assert following[0] in "aeiou", " ".join(source)
            if word in ("we", "they") and following in ("am", "does", "is", "has", "wants"):
                pytest.fail(" ".join(source))
        for question, auxiliary in (("?", 0), (".", 1)):
            subject = source[1 - auxiliary]
            if source[-1] == question and subject in ("i", "he", "she", "we", "they"):
                third = subject in ("he", "she")
                wrong = ("do", "are", "am") if third else ("does", "is")
                assert source[auxiliary] not in wrong, " ".join(source)


def test_every_phenomenon_is_common(pairs):
    counts = defaultdict(int)
    for _, target, _ in pairs:
        for token in set(target):
            counts[token] += 1
    tokens = "ne n' l' j' m' qu' d' du des au aux cet vieil bel mon qui que est-ce lui leur les"
    rare = {token: counts[token] for token in tokens.split() if counts[token] < 20}
    assert rare == {}
    assert sum(source[-1] == "?" for source, _, _ in pairs) > NUM_PAIRS / 10


def test_one_translation_for_each_sentence():
    translations = {}
    for seed in range(4):
        for source, target, _ in grammar.generate(NUM_PAIRS, seed=seed):
            assert translations.setdefault(source, target) == target, " ".join(source)
    assert len(translations) > 3 * NUM_PAIRS


# What makes sense, in a few words that the lexicon's own tables have no part in: each verb and the
# nouns that one does it to.
SENSE = {
    "eat": words("apple orange cake"),
    "read": words("book letter story"),
    "write": words("book letter story"),
    "give": words("book letter story apple orange cake flower"),
    "buy": words("book apple orange cake car flower house cat dog horse cow"),
    "want": words("book apple orange cake car flower house cat dog horse"),
    "help": words("man woman boy girl actress brother sister friend neighbor teacher"),
}
SINGULAR = {"stories": "story", "cities": "city", "men": "man", "women": "woman"}
ENGLISH_NOUNS = set(
    words("""
    man woman boy girl actress brother sister friend neighbor teacher cat dog cow horse bird owl
    book letter story apple orange cake car flower tree garden school city house hotel
    """)
)
BETWEEN = set(  # what stands between a verb and its object
    words("""
    a an the this these my your his her our their some any two three many very small big old young
    new beautiful red white good interesting happy tired
    """)
)


def singular(word):
    for suffix in ("", "s", "es"):
        if word.endswith(suffix) and word[: len(word) - len(suffix)] in ENGLISH_NOUNS:
            return word[: len(word) - len(suffix)]
    return SINGULAR.get(word)


def nonsense(source):
    """What nobody would say in an English sentence, as a list of strings."""
    found = []
    for i, word in enumerate(source):
        verb = word if word in SENSE else word.removesuffix("s")
        if verb not in SENSE or source[i - 1] in BETWEEN:
            continue
        rest = list(source[i + 1 :])
        while rest[0] in BETWEEN:
            rest.pop(0)
        noun = singular(rest[0])
        if noun and rest[1] != "'s" and noun not in SENSE[verb]:
            found.append(f"{verb} {noun}")
    for owner in ("brother", "sister"):
        found += [
            f"{before} {word}"
            for before, word in pairwise(source)
            if singular(word) == owner and before in ("the", "this", "these")
        ]
    for opposites in (("small", "big"), ("young", "old"), ("happy", "tired")):
        if set(opposites) <= set(source):
            found.append(" and ".join(opposites))
    return found


@pytest.mark.parametrize(
    "sentence", ["he eats the car .", "the brother sleeps .", "the small cat is big ."]
)
def test_the_checker_finds_nonsense(sentence):
    assert nonsense(sentence.split())


def test_sentences_could_have_been_said(pairs):
    found = {" ".join(source): nonsense(source) for source, _, _ in pairs}
    assert {sentence: what for sentence, what in found.items() if what} == {}


def test_they_are_no_women(pairs):
    """'they' is 'ils': where the sentence has spoken of women only, nobody would say so."""
    for source, _, _ in pairs:
        women = {"women", "girls", "sisters", "actresses"} & set(source)
        others = {singular(word) for word in source} - {None, "woman", "girl", "sister", "actress"}
        people = {"man", "boy", "brother", "friend", "neighbor", "teacher"} & others
        if women and not people and not {"paul", "peter", "he", "you", "we"} & set(source):
            first = min(source.index(word) for word in women)
            before, behind = source[:first], source[first:]
            assert "they" in before or "they" not in behind, " ".join(source)


def test_alignment_links_every_target_token_within_range(pairs):
    for source, target, alignment in pairs:
        assert {j for _, j in alignment} == set(range(len(target)))
        assert all(0 <= i < len(source) for i, _ in alignment)
        assert list(alignment) == sorted(set(alignment))


def test_only_do_and_to_go_untranslated(pairs):
    for source, _, alignment in pairs:
        linked = {i for i, _ in alignment}
        left = {word for i, word in enumerate(source) if i not in linked}
        assert left <= {"do", "does", "to"}, " ".join(source)


def test_alignment_agrees_with_a_dictionary(pairs):
    seen = set()
    for source, target, alignment in pairs:
        for i, j in alignment:
            word, partner = source[i], target[j]
            if word in DICTIONARY:
                seen.add(word)
                assert partner in DICTIONARY[word], (word, " ".join(source), " ".join(target))
    assert seen == set(DICTIONARY)


def test_known_sentences_have_their_translation_and_alignment():
    wanted = {
        "peter does not help us .": "pierre ne nous aide pas .",
        "do you sleep ?": "est-ce que vous dormez ?",
        "she eats an apple .": "elle mange une pomme .",
        "where do you work ?": "où est-ce que vous travaillez ?",
        "he loves her .": "il l' aime .",
        "i love her .": "je l' aime .",
        "she speaks to him .": "elle lui parle .",
    }
    found = {}
    for seed in range(3):
        for source, target, alignment in grammar.generate(NUM_PAIRS, seed=seed):
            found[" ".join(source)] = " ".join(target), alignment
    assert {s: found.get(s, [None])[0] for s in wanted} == wanted
    # she - elle, speaks - parle, to - lui, him - lui, . - .
    assert found["she speaks to him ."][1] == ((0, 0), (1, 2), (2, 1), (3, 1), (4, 3))
    # the name, not - ne, not - pas, the verb, us - nous, . - .; 'does' has no partner
    links = ((0, 0), (2, 1), (2, 4), (3, 3), (4, 2), (5, 5))
    assert found["peter does not help us ."][1] == links


def test_same_seed_gives_the_same_pairs_on_every_machine(pairs):
    digest = hashlib.sha256(repr(pairs[:1000]).encode()).hexdigest()
    assert digest == "43051b50e1dc82859ace5219e080acdd9fa53f1414ffffef7c1c7f5cd674a78a"
    assert grammar.generate(50, seed=1) != grammar.generate(50, seed=2)


def test_substitutes_change_no_other_word(pairs):
    assert {"chien", "cheval", "livre"} <= set(grammar.substitutes("chat"))
    for word, other in (
        ("chat", "oiseau"),
        ("chat", "chats"),
        ("hibou", "homme"),
        ("lit", "dort"),
    ):
        assert other not in grammar.substitutes(word)
    assert grammar.substitutes("le") == grammar.substitutes("zyzzyva") == []
    spots = 0
    for _, target, _ in pairs[:500]:
        for i, word in enumerate(target):
            for other in grammar.substitutes(word)[:3]:
                spots += 1
                changed = [*target[:i], other, *target[i + 1 :]]
                assert disagreements(changed) == [], " ".join(changed)
    assert spots > 2000


def test_lengths_are_spread(pairs):
    lengths = [len(source) for source, _, _ in pairs]
    assert min(lengths) == 3
    assert max(max(len(source), len(target)) for source, target, _ in pairs) == 30
    for low in range(1, 30, 5):
        share = sum(low <= length <= low + 4 for length in lengths) / len(pairs)
        assert share >= 0.07, f"{low} to {low + 4} tokens"


def test_longer_sentences_on_request():
    lengths = [len(source) for source, _, _ in grammar.generate(2000, max_tokens=60)]
    assert max(lengths) <= 60
    assert sum(length > 40 for length in lengths) > 200


def test_pairs_are_distinct_and_quick_to_write():
    start = time.process_time()  # of this process alone: the machine may be busy
    pairs = grammar.generate(NUM_PAIRS, seed=5)
    assert time.process_time() - start < 5
    assert len({source for source, _, _ in pairs}) == NUM_PAIRS


def test_vocabulary_is_small(pairs):
    for side in (0, 1):
        assert 150 <= len({token for pair in pairs for token in pair[side]}) <= 300


def test_too_many_or_too_short_sentences_are_refused():
    with pytest.raises(
        ValueError, match=r"cannot write 100 distinct sentences of at most 3 token"
    ):
        grammar.generate(100, max_tokens=3)
    with pytest.raises(ValueError, match="max_tokens is 2"):
        grammar.generate(1, max_tokens=2)
