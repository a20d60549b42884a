"""A small synchronous grammar of English and French that writes translated sentences.

Both sides are built at the same time from one lexicon, and every French word remembers the English
words it renders, so that each pair comes with its gold word alignment. One English sentence has
exactly one French translation: 'you' is always the plural 'vous', persons whose gender English
hides are masculine, and verbs stand in the present or the near future.

Here live the lexicon and the rules; corpora.py turns the sentences into a corpus.
"""

import random
from dataclasses import dataclass
from functools import cache

# Persons, in the order in which the verb tables list their forms.
JE, IL, NOUS, VOUS, ILS = range(5)
INFINITIVE = 5

FRENCH_VOWELS = frozenset("aàâeéèêëiîïoôuùûyœh")  # initial h is mute, but for the words below
ASPIRATED = frozenset(("hibou", "hiboux"))
ENGLISH_VOWELS = frozenset("aeiou")


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun: English and French, each singular and plural; gender; what it stands for."""

    english: tuple
    french: tuple
    feminine: bool
    kind: str


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective: French forms (masculine, feminine, and both plurals), place, what it describes."""

    english: str
    french: tuple
    kinds: frozenset
    before_noun: bool = False
    before_vowel: str | None = None  # masculine singular before a vowel: 'un bel arbre'


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: English (base, third person, particle), French forms, and what it can act on."""

    english: tuple
    french: tuple
    objects: frozenset = frozenset()
    subjects: frozenset = frozenset(("person",))


def _nouns(table):
    nouns = []
    for line in table.strip().splitlines():
        kind, gender, *forms = line.split()
        nouns.append(Noun(tuple(forms[:2]), tuple(forms[2:]), gender == "f", kind))
    return tuple(nouns)


NOUNS = _nouns("""
    person m man men homme hommes
    person f woman women femme femmes
    person m boy boys garçon garçons
    person f girl girls fille filles
    person m brother brothers frère frères
    person f sister sisters sœur sœurs
    person m friend friends ami amis
    person f actress actresses actrice actrices
    person m neighbor neighbors voisin voisins
    animal m cat cats chat chats
    animal m dog dogs chien chiens
    animal f cow cows vache vaches
    animal m bird birds oiseau oiseaux
    animal m horse horses cheval chevaux
    animal m owl owls hibou hiboux
    text m book books livre livres
    text f letter letters lettre lettres
    text f story stories histoire histoires
    food f apple apples pomme pommes
    food f orange oranges orange oranges
    food m cake cakes gâteau gâteaux
    thing f car cars voiture voitures
    thing f flower flowers fleur fleurs
    thing m tree trees arbre arbres
    place m garden gardens jardin jardins
    place f school schools école écoles
    place f city cities ville villes
    place f house houses maison maisons
    place m hotel hotels hôtel hôtels
""")
NAMES = (("anna", "anna", True), ("mary", "marie", True), ("paul", "paul", False))

_LIVING = frozenset(("person", "animal"))
_GOODS = frozenset(("thing", "food", "text"))
_ALL = _LIVING | _GOODS | {"place"}

ADJECTIVES = (
    Adjective("small", ("petit", "petite", "petits", "petites"), _ALL, True),
    Adjective("big", ("grand", "grande", "grands", "grandes"), _ALL, True),
    Adjective("old", ("vieux", "vieille", "vieux", "vieilles"), _ALL, True, "vieil"),
    Adjective("beautiful", ("beau", "belle", "beaux", "belles"), _ALL, True, "bel"),
    Adjective("young", ("jeune", "jeune", "jeunes", "jeunes"), _LIVING, True),
    Adjective("red", ("rouge", "rouge", "rouges", "rouges"), _GOODS - {"text"}),
    Adjective("white", ("blanc", "blanche", "blancs", "blanches"), _ALL - {"person", "text"}),
    Adjective("happy", ("heureux", "heureuse", "heureux", "heureuses"), _LIVING),
    Adjective("tired", ("fatigué", "fatiguée", "fatigués", "fatiguées"), _LIVING),
    Adjective(
        "interesting",
        ("intéressant", "intéressante", "intéressants", "intéressantes"),
        frozenset(("text", "person", "place")),
    ),
)


def _verb(english, french, objects=(), subjects=("person",)):
    words = english.split()
    english = (words[0], words[1], words[2] if len(words) == 3 else None)
    return Verb(english, tuple(french.split()), frozenset(objects), frozenset(subjects))


INTRANSITIVE = (
    _verb("sleep sleeps", "dors dort dormons dormez dorment dormir", subjects=_LIVING),
    _verb("sing sings", "chante chante chantons chantez chantent chanter"),
    _verb("work works", "travaille travaille travaillons travaillez travaillent travailler"),
    _verb("arrive arrives", "arrive arrive arrivons arrivez arrivent arriver", subjects=_LIVING),
)
TRANSITIVE = (
    _verb("see sees", "vois voit voyons voyez voient voir", _ALL, _LIVING),
    _verb("love loves", "aime aime aimons aimez aiment aimer", _ALL, _LIVING),
    _verb(
        "look looks for", "cherche cherche cherchons cherchez cherchent chercher", _ALL, _LIVING
    ),
    _verb("help helps", "aide aide aidons aidez aident aider", ("person",)),
    _verb("buy buys", "achète achète achetons achetez achètent acheter", _GOODS),
    _verb("eat eats", "mange mange mangeons mangez mangent manger", ("food",), _LIVING),
    _verb("read reads", "lis lit lisons lisez lisent lire", ("text",)),
)
HAVE = _verb("have has", "ai a avons avez ont", _GOODS | {"animal"})
GIVE = _verb("give gives", "donne donne donnons donnez donnent donner", _GOODS)
SPEAK = _verb("speak speaks", "parle parle parlons parlez parlent parler", ("person",))
THINK = _verb("think thinks", "pense pense pensons pensez pensent penser")
WANT = _verb("want wants", "veux veut voulons voulez veulent", _GOODS)
CAN = _verb("can can", "peux peut pouvons pouvez peuvent")
MUST = _verb("must must", "dois doit devons devez doivent")
GO = _verb("go goes", "vais va allons allez vont")
BE_FRENCH = ("suis", "est", "sommes", "êtes", "sont")
BE_ENGLISH = ("am", "is", "are", "are", "are")

# Subject pronouns: English, French, French before a vowel, person, feminine.
PRONOUNS = (
    ("i", "je", "j'", JE, False),
    ("you", "vous", None, VOUS, False),
    ("he", "il", None, IL, False),
    ("she", "elle", None, IL, True),
    ("we", "nous", None, NOUS, False),
    ("they", "ils", None, ILS, False),
)
# Object pronouns: English, French direct object, its form before a vowel, French after 'à',
# person.
OBJECT_PRONOUNS = (
    ("me", "me", "m'", "me", JE),
    ("you", "vous", None, "vous", VOUS),
    ("him", "le", "l'", "lui", IL),
    ("her", "la", "l'", "lui", IL),
    ("us", "nous", None, "nous", NOUS),
    ("them", "les", None, "leur", ILS),
)
# Determiners: masculine, its form before a vowel, feminine, its form before a vowel, plural.
ARTICLE = ("le", "l'", "la", "l'", "les")
DEMONSTRATIVE = ("ce", "cet", "cette", None, "ces")
POSSESSIVES = {
    "my": ("mon", None, "ma", "mon", "mes"),
    "your": ("votre", None, "votre", None, "vos"),
    "his": ("son", None, "sa", "son", "ses"),
    "her": ("son", None, "sa", "son", "ses"),
    "our": ("notre", None, "notre", None, "nos"),
    "their": ("leur", None, "leur", None, "leurs"),
}
NUMBERS = {"two": "deux", "three": "trois"}
CONTRACTIONS = {
    ("de", "le"): "du",
    ("de", "les"): "des",
    ("à", "le"): "au",
    ("à", "les"): "aux",
}
FREQUENCY = {"often": "souvent", "always": "toujours"}
TIMES = {"today": "aujourd'hui", "now": "maintenant", "here": "ici"}
PLACES = {"in": ("dans",), "near": ("près", "de")}
COMPANIONS = {"with": ("avec",), "near": ("près", "de")}
# What joins two clauses: clauses of equal rank, and a main clause with one that depends on it.
COORDINATORS = {"and": ("et",), "but": ("mais",)}
SUBORDINATORS = {"because": ("parce", "que"), "when": ("quand",)}
QUESTION_WORDS = {"where": "où", "when": "quand", "why": "pourquoi"}


class Word:
    """One word: its text, the text it takes before a vowel, and the English words it renders."""

    __slots__ = ("before_vowel", "links", "text")

    def __init__(self, text, before_vowel=None, links=()):
        self.text = text
        self.before_vowel = before_vowel
        self.links = links


@dataclass(slots=True)
class NounPhrase:
    """A noun phrase on both sides, with the features that verbs and adjectives agree with."""

    english: list
    french: list
    person: int
    feminine: bool
    kind: str


@cache
def nouns_for(kinds):
    """The nouns that stand for one of these kinds of things."""
    return tuple(noun for noun in NOUNS if noun.kind in kinds)


@cache
def adjectives_for(kind):
    """The adjectives that describe this kind of thing."""
    return tuple(adjective for adjective in ADJECTIVES if kind in adjective.kinds)


def render_english(words):
    """Choose between 'a' and 'an'.

    Args:
        words: list of English `Word`s.

    Returns:
        List of tokens, one for each word.
    """
    tokens = []
    following = " "
    for word in reversed(words):
        vowel = word.before_vowel is not None and following[0] in ENGLISH_VOWELS
        following = word.before_vowel if vowel else word.text
        tokens.append(following)
    return tokens[::-1]


def render_french(words):
    """Apply elision ("le arbre" -> "l' arbre", "ma école" -> "mon école") and contraction ("de le"
    -> "du").

    Args:
        words: list of French `Word`s with their links.

    Returns:
        List of tokens and a list of the same length with each token's links. A contraction has
        those of both of its words.
    """
    tokens, links = [" "], [()]
    for word in reversed(words):
        following = tokens[-1]
        if (word.text, following) in CONTRACTIONS:
            tokens[-1] = CONTRACTIONS[word.text, following]
            links[-1] = (*word.links, *links[-1])
            continue
        text = word.text
        if (
            word.before_vowel is not None
            and following[0] in FRENCH_VOWELS
            and following not in ASPIRATED
        ):
            text = word.before_vowel
        tokens.append(text)
        links.append(word.links)
    return tokens[:0:-1], links[:0:-1]


class Writer:
    """Writes random sentences; `room` is the number of English words still wanted in the current one."""

    def __init__(self, seed):
        # Only random() is used: it is the one method whose sequence Python promises never to
        # change.
        self.random = random.Random(seed).random
        self.room = 0

    def chance(self, probability):
        return self.random() < probability

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def word(self, text, before_vowel=None):
        """A new English word, counted."""
        self.room -= 1
        return Word(text, before_vowel)

    # Noun phrases -------------------------------------------------------------------------------

    def inflect(self, adjective, feminine, plural, link):
        """The French adjective in its form for this gender and number."""
        before_vowel = None if feminine or plural else adjective.before_vowel
        return Word(adjective.french[feminine + 2 * plural], before_vowel, (link,))

    def determined(self, noun, plural, definite, negated):
        """Noun, adjectives and determiner; `definite` leaves out 'a', 'some', numbers and 'many'.

        Under a negation 'a' and 'any' become 'de', and 'some' is not English.
        """
        english_noun = Word(noun.english[plural])
        english_adjectives, before, after = [], [], []
        if self.room > 5 and self.chance(0.4):
            first = self.pick(adjectives_for(noun.kind))
            chosen = [first]
            if first.before_noun and self.room > 7 and self.chance(0.35):
                second = self.pick(adjectives_for(noun.kind))
                if not second.before_noun:
                    chosen.append(second)
            for adjective in chosen:
                adverb = []
                if len(chosen) == 1 and self.room > 7 and self.chance(0.25):
                    english_adverb = self.word("very")
                    adverb = [Word("très", None, (english_adverb,))]
                    english_adjectives.append(english_adverb)
                english = self.word(adjective.english)
                english_adjectives.append(english)
                french = self.inflect(adjective, noun.feminine, plural, english)
                (before if adjective.before_noun else after).extend([*adverb, french])

        choice = self.random()
        forms = ARTICLE
        if definite:
            choice *= 0.65
        if choice < 0.35:
            english = self.word("the")
        elif choice < 0.45:
            english = self.word("these" if plural else "this")
            forms = DEMONSTRATIVE
        elif choice < 0.65:
            english = self.word(self.pick(tuple(POSSESSIVES)))
            forms = POSSESSIVES[english.text]
        elif not plural:
            english = self.word("a", "an")
            forms = ("de", "d'") * 2 if negated else ("un", None, "une", None)
        elif choice < 0.85:
            english = self.word("any" if negated else "some")
            partitive = negated or before  # 'je ne vois pas de chats', 'je vois de petits chats'
            forms = (None,) * 4 + ("de" if partitive else "des",)
        elif choice < 0.95:
            english = self.word(self.pick(tuple(NUMBERS)))
            forms = (None,) * 4 + (NUMBERS[english.text],)
        else:
            english = self.word("many")
            forms = (None,) * 4 + ("de",)

        if plural:
            determiner = Word(forms[4], "d'" if forms[4] == "de" else None, (english,))
        else:
            determiner = Word(*forms[2 * noun.feminine : 2 * noun.feminine + 2], (english,))
        many = [Word("beaucoup", None, (english,))] if english.text == "many" else []
        self.room -= 1  # the noun
        french_noun = Word(noun.french[plural], None, (english_noun,))
        return NounPhrase(
            [english, *english_adjectives, english_noun],
            [*many, determiner, *before, french_noun, *after],
            ILS if plural else IL,
            noun.feminine,
            noun.kind,
        )

    def name(self):
        text, french, feminine = self.pick(NAMES)
        english = self.word(text)
        return NounPhrase([english], [Word(french, None, (english,))], IL, feminine, "person")

    def possessed(self, noun, plural):
        """'my brother 's red car': la voiture rouge de mon frère."""
        if self.chance(0.4):
            owner = self.name()
        else:
            owner = self.determined(self.pick(nouns_for(("person",))), False, True, False)
        apostrophe = self.word("'s")
        phrase = self.determined(noun, plural, True, False)
        # The owner takes the place of the determiner in English; in French the article stands for
        # it.
        self.room += 1
        article = (
            Word("les", None, (apostrophe,))
            if plural
            else Word("la" if noun.feminine else "le", "l'", (apostrophe,))
        )
        return NounPhrase(
            [*owner.english, apostrophe, *phrase.english[1:]],
            [article, *phrase.french[1:], Word("de", "d'", (apostrophe,)), *owner.french],
            phrase.person,
            phrase.feminine,
            phrase.kind,
        )

    def noun_phrase(self, kinds, definite=False, negated=False):
        """A name or a noun with all that may hang on it, for one of these kinds of things."""
        if "person" in kinds and self.chance(0.15):
            return self.name()
        noun = self.pick(nouns_for(kinds))
        plural = self.chance(0.4)
        if self.room > 7 and self.chance(0.12):
            return self.possessed(noun, plural)
        phrase = self.determined(noun, plural, definite, negated)
        if negated:
            return phrase
        extra = self.random()
        if self.room > 6 and extra < 0.16:
            self.relative_clause(phrase)
        elif self.room > 8 and definite and extra < 0.24:
            link = self.word("and")
            second = self.determined(
                self.pick(nouns_for((noun.kind,))), self.chance(0.3), True, False
            )
            phrase.english += [link, *second.english]
            phrase.french += [Word("et", None, (link,)), *second.french]
            phrase.person = ILS
            phrase.feminine = phrase.feminine and second.feminine
        return phrase

    def relative_clause(self, phrase):
        """Append 'who sleeps' (qui dort) or 'that i see' (que je vois) to the phrase."""
        if phrase.kind in _LIVING and self.chance(0.5):
            english = self.word("who" if phrase.kind == "person" else "that")
            subject = NounPhrase([english], [], phrase.person, phrase.feminine, phrase.kind)
            subject.french = [Word("qui", None, (english,))]
            clause = self.clause(subject, inner=True)
        else:
            verbs = [verb for verb in TRANSITIVE if phrase.kind in verb.objects]
            english = self.word("that")
            clause = self.clause(self.subject(2), verb=self.pick(verbs), gap=True, inner=True)
            clause[0].insert(0, english)
            clause[1].insert(0, Word("que", "qu'", (english,)))
        phrase.english += clause[0]
        phrase.french += clause[1]

    def subject(self, need=3, animals=True):
        """A pronoun, or a noun phrase where there is room for one and for `need` words behind it."""
        if self.room < need + 2 or self.chance(0.4):
            english_text, french, before_vowel, person, feminine = self.pick(PRONOUNS)
            english = self.word(english_text)
            word = Word(french, before_vowel, (english,))
            return NounPhrase([english], [word], person, feminine, "person")
        kinds = ("person", "animal") if animals and self.chance(0.35) else ("person",)
        return self.noun_phrase(kinds, definite=self.chance(0.8))

    # Clauses ------------------------------------------------------------------------------------

    def clause(self, subject, verb=None, question=None, gap=False, inner=False):
        """One clause: English words and French words.

        Args:
            subject: NounPhrase.
            verb: Verb to use, or None to pick one that suits the subject and the room left.
            question: English words that open a question ([] for a yes-or-no question), or None.
            gap: whether the object is missing, having moved to the front ('that i see').
            inner: whether this is a relative clause, which stays simpler.
        """
        if verb is None:
            if self.chance(0.2):
                return self.description(subject, question)
            verb = self.main_verb(subject, question)
        self.room -= 1
        spare = self.room - (0 if gap or verb in INTRANSITIVE else 2)  # keep room for the object
        negated = verb is not THINK and spare > 1 and self.chance(0.25)
        mode = None
        if verb not in (THINK, HAVE, WANT) and spare > 2 and self.chance(0.35):
            mode = self.pick((CAN, MUST, WANT, GO))
        before, after = ([], []), ([], [])  # object pronoun, other complements
        if not gap:
            before, after = self.complements(verb, subject, negated)

        third = subject.person == IL
        base, third_form, particle = verb.english
        main = Word(base)
        rest = [main]
        if particle is not None:
            rest.append(self.word(particle))
        verb_links = tuple(rest)
        if mode is None:
            finite_links = verb_links
            finite_french = verb.french[subject.person]
            infinitive = []
        else:
            finite_french = mode.french[subject.person]
            infinitive = [Word(verb.french[INFINITIVE], None, verb_links)]
        auxiliary = None
        if mode in (CAN, MUST):
            auxiliary = self.word(mode.english[0])
            finite_links = (auxiliary,)
        elif mode is GO:
            auxiliary = self.word(BE_ENGLISH[subject.person])
            going = self.word("going")
            finite_links = (auxiliary, going)
            rest = [going, self.word("to"), *rest]
        else:
            if mode is WANT:
                finite = self.word("want")
                finite_links = (finite,)
                rest = [finite, self.word("to"), *rest]
            if negated or question is not None:
                auxiliary = self.word("does" if third else "do")
            elif third:
                rest[0].text = third_form if mode is None else WANT.english[1]

        frequency = None
        if mode is not GO and not inner and self.room > 3 and self.chance(0.15):
            frequency = self.word(self.pick(tuple(FREQUENCY)))
        finite = Word(finite_french, None, finite_links)
        english, french = self.assemble(
            subject,
            auxiliary,
            finite,
            negated,
            frequency,
            question,
            () if infinitive else before[1],
        )
        english += rest + before[0] + after[0]
        french += (before[1] if infinitive else []) + infinitive + after[1]
        if not gap and not inner and not question:
            self.adverbials(english, french, tomorrow=mode is GO)
        return english, french

    def description(self, subject, question):
        """'the girl is not very tired': la fille n'est pas très fatiguée."""
        adjective = self.pick(adjectives_for(subject.kind))
        self.room -= 1
        auxiliary = self.word(BE_ENGLISH[subject.person])
        negated = self.room > 1 and self.chance(0.25)
        frequency = None
        if self.room > 3 and self.chance(0.15):
            frequency = self.word(self.pick(tuple(FREQUENCY)))
        finite = Word(BE_FRENCH[subject.person], None, (auxiliary,))
        english, french = self.assemble(
            subject, auxiliary, finite, negated, frequency, question, ()
        )
        if self.room > 2 and self.chance(0.3):
            very = self.word("very")
            english.append(very)
            french.append(Word("très", None, (very,)))
        word = Word(adjective.english)
        english.append(word)
        plural = subject.person in (NOUS, VOUS, ILS)
        french.append(self.inflect(adjective, subject.feminine, plural, word))
        return english, french

    def assemble(self, subject, auxiliary, finite, negated, frequency, question, pronoun):
        """Put subject, finite verb, negation and adverb in each language's order."""
        english, french = [], []
        if question is not None:
            english += question
            french += [Word("est-ce", None, (auxiliary,)), Word("que", "qu'", (auxiliary,))]
            english.append(auxiliary)
        english += subject.english
        french += subject.french
        if auxiliary is not None and question is None:
            english.append(auxiliary)
        if negated:
            link = self.word("not")
            english.append(link)
            french += [Word("ne", "n'", (link,)), *pronoun, finite, Word("pas", None, (link,))]
        else:
            french += [*pronoun, finite]
        if frequency is not None:
            english.append(frequency)
            french.append(Word(FREQUENCY[frequency.text], None, (frequency,)))
        return english, french

    def main_verb(self, subject, question):
        """A verb that this subject can do and that has room for its object."""
        person = subject.kind == "person"
        if self.room < 4 and self.chance(0.6):
            group = INTRANSITIVE
        else:
            choice = self.random()
            if person and self.room > 6 and choice < 0.22:
                return GIVE
            if person and choice < 0.30:
                return SPEAK
            if person and choice < 0.37:
                return HAVE
            if person and choice < 0.42:
                return WANT
            if person and question is None and self.room > 5 and choice < 0.54:
                return THINK
            group = INTRANSITIVE if choice > 0.85 else TRANSITIVE
        return self.pick([verb for verb in group if subject.kind in verb.subjects])

    def complements(self, verb, subject, negated):
        """What follows the verb: (object pronoun), (everything else), each English and French words."""
        before, after = ([], []), ([], [])
        if verb is THINK:
            that = self.word("that")
            clause = self.clause(self.subject())
            return before, ([that, *clause[0]], [Word("que", "qu'", (that,)), *clause[1]])
        if verb in INTRANSITIVE:
            return before, after
        if verb is SPEAK:
            self.recipient(subject, before, after)
            return before, after
        if verb in TRANSITIVE and self.chance(0.35 if self.room > 3 else 0.7):
            persons = "person" in verb.objects
            pronoun = self.object_pronoun(subject, persons)
            english = self.word(pronoun[0])
            return ([english], [Word(pronoun[1], pronoun[2], (english,))]), after
        phrase = self.noun_phrase(verb.objects, definite=self.chance(0.5), negated=negated)
        after[0].extend(phrase.english)
        after[1].extend(phrase.french)
        if verb is GIVE:
            self.recipient(subject, before, after)
        return before, after

    def object_pronoun(self, subject, persons=True):
        """A pronoun that does not turn the verb into a reflexive one; without `persons` always 'them'."""
        if not persons:
            return OBJECT_PRONOUNS[-1]
        excluded = {JE: (JE, NOUS), NOUS: (JE, NOUS), VOUS: (VOUS,)}.get(subject.person, ())
        return self.pick([p for p in OBJECT_PRONOUNS if p[4] not in excluded])

    def recipient(self, subject, before, after):
        """'to him' (lui, before the verb) or 'to the man' (à l'homme, behind it)."""
        to = self.word("to")
        if self.room < 3 or self.chance(0.4):
            pronoun = self.object_pronoun(subject)
            english = self.word(pronoun[0])
            after[0].extend([to, english])
            before_vowel = pronoun[2] if pronoun[3] == "me" else None
            before[1].append(Word(pronoun[3], before_vowel, (to, english)))
            return
        phrase = self.noun_phrase(("person",), definite=True)
        after[0].extend([to, *phrase.english])
        after[1].extend([Word("à", None, (to,)), *phrase.french])

    def adverbials(self, english, french, tomorrow):
        """Append a place or company and a time, where there is room."""
        if self.room > 5 and self.chance(0.22):
            places = self.chance(0.6)
            table, kinds = (PLACES, ("place",)) if places else (COMPANIONS, ("person",))
            preposition = self.word(self.pick(tuple(table)))
            phrase = self.noun_phrase(kinds, definite=True)
            english += [preposition, *phrase.english]
            for text in table[preposition.text]:
                french.append(Word(text, "d'" if text == "de" else None, (preposition,)))
            french += phrase.french
        if tomorrow and self.chance(0.4):
            word = self.word("tomorrow")
            english.append(word)
            french.append(Word("demain", None, (word,)))
        elif self.room > 2 and self.chance(0.15):
            word = self.word(self.pick(tuple(TIMES)))
            english.append(word)
            french.append(Word(TIMES[word.text], None, (word,)))

    # Sentences ----------------------------------------------------------------------------------

    def question(self):
        """The first clause of a question."""
        choice = self.random()
        if choice < 0.12:  # who sees the dog ?
            who = self.word("who")
            subject = NounPhrase([who], [Word("qui", None, (who,))], IL, False, "person")
            return self.clause(subject, verb=self.pick(TRANSITIVE + INTRANSITIVE))
        if choice < 0.24:  # what do you see ?
            what = self.word("what")
            verb = self.pick([verb for verb in TRANSITIVE if verb.objects & _GOODS])
            english, french = self.clause(self.subject(), verb=verb, question=[what], gap=True)
            return english, [Word("que", "qu'", (what,)), *french]
        if choice < 0.45:  # where do you see it ?
            opening = self.word(self.pick(tuple(QUESTION_WORDS)))
            subject = self.subject()
            verb = self.main_verb(subject, opening)
            english, french = self.clause(subject, verb=verb, question=[opening])
            return english, [Word(QUESTION_WORDS[opening.text], None, (opening,)), *french]
        return self.clause(self.subject(), question=[])

    def sentence(self, length):
        """One sentence of about `length` English words: English words and French words."""
        self.room = length - 1
        asks = self.chance(0.2)
        if asks:
            english, french = self.question()
        else:
            english, french = self.clause(self.subject())
        subordinate = asks or self.chance(0.5)
        while self.room > 5:
            connectors = SUBORDINATORS if subordinate else COORDINATORS
            subordinate = not subordinate
            text = self.pick(tuple(connectors))
            if text == "but":
                comma = self.word(",")
                english.append(comma)
                french.append(Word(",", None, (comma,)))
            link = self.word(text)
            english.append(link)
            for part in connectors[text]:
                french.append(Word(part, "qu'" if part == "que" else None, (link,)))
            more = self.clause(self.subject())
            english += more[0]
            french += more[1]
        end = self.word("?" if asks else ".")
        english.append(end)
        french.append(Word(end.text, None, (end,)))
        return english, french


def generate(num_pairs=20_000, max_tokens=30, seed=0):
    """Write distinct English-French sentence pairs with their word alignments.

    Lengths lie between 3 and `max_tokens` on both sides; short ones are more frequent.

    Args:
        num_pairs: number of pairs.
        max_tokens: the greatest number of tokens of a sentence, in either language (at least 3).
        seed: integer. The same seed gives the same pairs on every machine.

    Returns:
        List of (source tokens, target tokens, alignment), each a tuple; the alignment is a sorted
        tuple of (source index, target index). Every target token is linked to at least one source
        token.

    Raises:
        ValueError: if the grammar does not have that many sentences of that length.
    """
    if max_tokens < 3:
        raise ValueError(f"max_tokens is {max_tokens}, but the shortest sentence has 3 tokens")
    writer = Writer(seed)
    pairs, seen, failures = [], set(), 0
    while len(pairs) < num_pairs:
        # The cube makes short sentences frequent and leaves long ones common.
        length = 5 + int(max_tokens * writer.random() ** 3)
        english, french = writer.sentence(length)
        source = tuple(render_english(english))
        if source in seen or len(source) > max_tokens:
            failures += 1
        else:
            tokens, links = render_french(french)
            if len(tokens) > max_tokens:
                failures += 1
            else:
                position = {id(word): i for i, word in enumerate(english)}
                alignment = sorted(
                    {(position[id(word)], j) for j, words in enumerate(links) for word in words}
                )
                seen.add(source)
                pairs.append((source, tuple(tokens), tuple(alignment)))
                failures = 0
        if failures == 10_000:
            raise ValueError(
                f"cannot write {num_pairs} distinct sentences of at most {max_tokens} tokens: "
                f"gave up after {len(pairs)}; ask for fewer or for longer ones"
            )
    return pairs
