"""A small synchronous grammar of English and French that writes translated sentences.

Both sides are built at the same time from one lexicon, and every French word remembers the English
words it renders, so that each pair comes with its gold word alignment. One English sentence has
exactly one French translation: 'you' is always the plural 'vous', persons whose gender English
hides are masculine, and verbs stand in the present or the near future.

The sentences could have been said: the lexicon knows what can be eaten, read or given, who does
it and where, a reason is given for what somebody does, and a pronoun goes on about the person of
the clause before.

Here live the lexicon and the rules; corpora.py turns the sentences into a corpus.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache

__all__ = ["forms", "generate", "substitutes"]

# Persons, in the order in which the verb tables list their forms.
JE, IL, NOUS, VOUS, ILS = range(5)
INFINITIVE = 5

FRENCH_VOWELS = frozenset("aàâeéèêëiîïoôuùûyœh")  # initial h is mute, but for the words below
ASPIRATED = frozenset(("hibou", "hiboux"))
ENGLISH_VOWELS = frozenset("aeiou")


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun: English and French, each singular and plural; gender; what it stands for.

    `kinds` is what a verb or an adjective may ask for: the kind of thing, or this very thing.
    """

    english: tuple
    french: tuple
    feminine: bool
    kind: str
    kinds: frozenset
    owned: float  # how often it is somebody's: 'my brother' always, 'my owl' never


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective: French forms (masculine, feminine, both plurals), place, what it describes."""

    english: str
    french: tuple
    aspect: str  # what it tells of: a sentence tells of size once, not 'the small boy is big'
    kinds: frozenset
    before_noun: bool = False
    before_vowel: str | None = None  # masculine singular before a vowel: 'un bel arbre'


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: English (base, third person, particle), French forms, and what makes sense with it.

    `objects` maps each kind of subject that can do it to the kinds of things it does it to.
    """

    english: tuple
    french: tuple
    objects: dict
    places: frozenset  # where it can be done
    modes: tuple = ("can", "must", "want", "go")
    activity: bool = True  # something done, with a time and a reason; else a state

    def objects_of(self, subject):
        """The kinds of things that this NounPhrase can do it to; None if it does not do it."""
        return next((self.objects[kind] for kind in subject.kinds if kind in self.objects), None)


def _nouns(table):
    nouns = []
    for line in table.strip().splitlines():
        kind, gender, owned, *forms = line.split()
        kinds = frozenset((kind, forms[0]))
        nouns.append(
            Noun(tuple(forms[:2]), tuple(forms[2:]), gender == "f", kind, kinds, float(owned))
        )
    return tuple(nouns)


NOUNS = _nouns("""
    person m 0 man men homme hommes
    person f 0 woman women femme femmes
    person m 0 boy boys garçon garçons
    person f 0 girl girls fille filles
    person f 0 actress actresses actrice actrices
    person m 1 brother brothers frère frères
    person f 1 sister sisters sœur sœurs
    person m 0.7 friend friends ami amis
    person m 0.5 neighbor neighbors voisin voisins
    person m 0.5 teacher teachers professeur professeurs
    animal m 0.3 cat cats chat chats
    animal m 0.3 dog dogs chien chiens
    animal f 0.2 cow cows vache vaches
    animal m 0.2 horse horses cheval chevaux
    animal m 0 bird birds oiseau oiseaux
    animal m 0 owl owls hibou hiboux
    text m 0.3 book books livre livres
    text f 0.3 letter letters lettre lettres
    text f 0.2 story stories histoire histoires
    food f 0.2 apple apples pomme pommes
    food f 0.2 orange oranges orange oranges
    food m 0.2 cake cakes gâteau gâteaux
    thing f 0.5 car cars voiture voitures
    thing f 0.2 flower flowers fleur fleurs
    thing m 0 tree trees arbre arbres
    place m 0.3 garden gardens jardin jardins
    place f 0.3 school schools école écoles
    place f 0.2 city cities ville villes
    place f 0.5 house houses maison maisons
    place m 0 hotel hotels hôtel hôtels
""")
NAMES = (
    ("anna", "anna", True),
    ("mary", "marie", True),
    ("paul", "paul", False),
    ("peter", "pierre", False),
)


def _kinds(text):
    return frozenset(text.split())


PERSON = _kinds("person")
ANIMAL = _kinds("animal")
LIVING = PERSON | ANIMAL
THINGS = _kinds("text food thing place")


def _adjectives(table, described):
    adjectives = []
    for line in table.strip().splitlines():
        aspect, place, english, *french = line.split()
        forms, before_vowel = tuple(french[:4]), (*french[4:], None)[0]
        kinds = _kinds(described[english])
        adjectives.append(
            Adjective(english, forms, aspect, kinds, place == "before", before_vowel)
        )
    return tuple(adjectives)


# What each describes. Some persons are left out for what the French would say: a 'petit ami' is a
# boyfriend, a 'beau frère' a brother-in-law, a 'grand homme' a great man.
DESCRIBED = {
    "small": "boy girl sister brother animal food thing place",
    "big": "boy girl sister brother animal food thing place",
    "old": "man woman friend neighbor animal text car tree place",
    "young": "man woman actress neighbor teacher animal",
    "new": "text car school house hotel",
    "beautiful": "man woman girl actress animal text thing place",
    "red": "apple car flower bird house",
    "white": "animal car flower house hotel",
    "good": "text food school hotel",
    "interesting": "text teacher man woman city",
    "happy": "person dog",
    "tired": "person cat dog cow horse",
}
ADJECTIVES = _adjectives(
    """
    size before small petit petite petits petites
    size before big grand grande grands grandes
    age before old vieux vieille vieux vieilles vieil
    age before young jeune jeune jeunes jeunes
    age before new nouveau nouvelle nouveaux nouvelles nouvel
    look before beautiful beau belle beaux belles bel
    colour after red rouge rouge rouges rouges
    colour after white blanc blanche blancs blanches
    worth before good bon bonne bons bonnes
    worth after interesting intéressant intéressante intéressants intéressantes
    mood after happy heureux heureuse heureux heureuses
    mood after tired fatigué fatiguée fatigués fatiguées
    """,
    DESCRIBED,
)


def _verbs(table):
    verbs = {}
    for block in table.strip().split("\n\n"):
        forms, *lines = (line.strip() for line in block.splitlines())
        english, french = forms.split(": ")
        base, third, *particle = english.split()
        frames = dict(line.split(":") for line in lines)
        places = _kinds(frames.pop("in", ""))
        rest = {"activity": False} if frames.pop("state", None) is not None else {}
        if (modes := frames.pop("modes", None)) is not None:
            rest["modes"] = tuple(modes.split())
        objects = {
            subject: _kinds(kinds)
            for subjects, kinds in frames.items()
            for subject in subjects.split()
        }
        english = (base, third, (*particle, None)[0])
        verbs[base] = Verb(english, tuple(french.split()), objects, places, **rest)
    return verbs


# English base and third person, French forms; who does it to what; in which places; after which
# modal verbs, if not all; whether it is a state.
VERBS = _verbs("""
    sleep sleeps: dors dort dormons dormez dorment dormir
        person animal:
        in: garden house hotel

    sing sings: chante chante chantons chantez chantent chanter
        person bird:
        in: garden school house hotel

    work works: travaille travaille travaillons travaillez travaillent travailler
        person:
        in: garden school city house hotel

    arrive arrives: arrive arrive arrivons arrivez arrivent arriver
        person:
        modes: must go

    see sees: vois voit voyons voyez voient voir
        person: person animal thing place letter
        animal: person animal tree house
        in: garden city house school hotel

    love loves: aime aime aimons aimez aiment aimer
        person: person animal text flower place
        cat dog horse: person
        modes:
        state:

    look looks for: cherche cherche cherchons cherchez cherchent chercher
        person: person cat dog horse cow book letter car hotel
        cat dog: person bird
        in: garden city house school hotel

    help helps: aide aide aidons aidez aident aider
        person: person
        in: garden school house hotel

    buy buys: achète achète achetons achetez achètent acheter
        person: book food car flower house cat dog horse cow
        in: city

    eat eats: mange mange mangeons mangez mangent manger
        person: food
        horse cow bird: apple
        dog: cake
        in: garden school house hotel

    read reads: lis lit lisons lisez lisent lire
        person: text
        in: garden school house hotel

    write writes: écris écrit écrivons écrivez écrivent écrire
        person: text
        in: garden school house hotel

    have has: ai a avons avez ont
        person: brother sister friend cat dog cow horse book food car flower house garden
        modes:
        state:

    give gives: donne donne donnons donnez donnent donner
        person: text food flower
        in: garden school house hotel

    speak speaks: parle parle parlons parlez parlent parler
        person:
        in: garden school city house hotel

    think thinks: pense pense pensons pensez pensent penser
        person:
        modes:

    want wants: veux veut voulons voulez veulent
        person: book food car flower house cat dog horse
        modes:
        state:

    can can: peux peut pouvons pouvez peuvent

    must must: dois doit devons devez doivent

    go goes: vais va allons allez vont
""")
INTRANSITIVE = tuple(VERBS[base] for base in ("sleep", "sing", "work", "arrive"))
TRANSITIVE = tuple(
    VERBS[base] for base in ("see", "love", "look", "help", "buy", "eat", "read", "write")
)
LOVE, HAVE, GIVE, SPEAK = (VERBS[base] for base in ("love", "have", "give", "speak"))
THINK, WANT, CAN, MUST, GO = (VERBS[base] for base in ("think", "want", "can", "must", "go"))
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
# Object pronouns: English, French direct object, its form before a vowel, after "à".
OBJECT_PRONOUNS = (
    ("me", "me", "m'", "me"),
    ("you", "vous", None, "vous"),
    ("him", "le", "l'", "lui"),
    ("her", "la", "l'", "lui"),
    ("us", "nous", None, "nous"),
    ("them", "les", None, "leur"),
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
TIMES = {"today": "aujourd'hui", "now": "maintenant"}
PREPOSITIONS = {"in": ("dans",), "near": ("près", "de"), "with": ("avec",)}
LANDMARKS = _kinds("tree garden school house hotel")  # what one can be near
CONJUNCTIONS = {
    "and": ("et",),
    "but": ("mais",),
    "because": ("parce", "que"),
    "when": ("quand",),
}


class Word:
    """One word: its text, the text it takes before a vowel, and the English words it renders."""

    __slots__ = ("before_vowel", "links", "text")

    def __init__(self, text, before_vowel=None, links=()):
        self.text = text
        self.before_vowel = before_vowel
        self.links = links


@dataclass(slots=True)
class Phrase:
    """Words of both languages, each list in its language's order."""

    english: list = field(default_factory=list)
    french: list = field(default_factory=list)

    def add(self, other):
        self.english += other.english
        self.french += other.french


@dataclass(slots=True)
class NounPhrase(Phrase):
    """A noun phrase, with the features that verbs and adjectives agree with."""

    person: int = IL
    feminine: bool = False
    kinds: frozenset = PERSON
    pronoun: str | None = None  # the English pronoun that can take its place in a later clause
    specific: bool = False  # 'my brother' and 'anna' are, and take no relative clause
    definite: bool = True


@dataclass(slots=True)
class Clause(Phrase):
    """A clause, with what the next one may say about it."""

    subject: NounPhrase | None = None
    eventful: bool = False  # it can have a reason and a time


@cache
def nouns_for(kinds):
    """The nouns that stand for one of these kinds of things."""
    return tuple(noun for noun in NOUNS if noun.kinds & kinds)


@cache
def adjectives_for(kinds):
    """The adjectives that describe a thing of these kinds."""
    return tuple(adjective for adjective in ADJECTIVES if kinds & adjective.kinds)


def render_english(words):
    """Choose between 'a' and 'an'.

    Args:
        words: list of English `Word`s.

    Returns:
        List of tokens, one for each word.
    """
    tokens = [" "]
    for word in reversed(words):
        vowel = word.before_vowel is not None and tokens[-1][0] in ENGLISH_VOWELS
        tokens.append(word.before_vowel if vowel else word.text)
    return tokens[:0:-1]


def render_french(words):
    """Apply elision ("le arbre" -> "l' arbre", "ma école" -> "mon école") and contraction ("au").

    Args:
        words: list of French `Word`s with their links.

    Returns:
        List of tokens, and a list of the same length with the English words that each renders. A
        contraction renders those of both its words.
    """
    tokens, links = [" "], [()]
    for word in reversed(words):
        following = tokens[-1]
        if (word.text, following) in CONTRACTIONS:
            tokens[-1] = CONTRACTIONS[word.text, following]
            links[-1] = (*word.links, *links[-1])
            continue
        vowel = following[0] in FRENCH_VOWELS and following not in ASPIRATED
        tokens.append(word.before_vowel if vowel and word.before_vowel else word.text)
        links.append(word.links)
    return tokens[:0:-1], links[:0:-1]


def que(link):
    return Word("que", "qu'", (link,))


def de(link):
    return Word("de", "d'", (link,))


def rendered(texts, link):
    """The French words that render one English word, such as 'près de' for 'near'."""
    elided = {"que": que, "de": de}
    return [elided[text](link) if text in elided else Word(text, None, (link,)) for text in texts]


class NothingLeft(Exception):
    """The sentence has no end that makes sense: begin another."""


class Writer:
    """Writes random sentences; `room` is the number of English words still wanted in this one."""

    def __init__(self, seed):
        # Only random() is used: the one method whose sequence Python promises not to change.
        self.random = random.Random(seed).random
        self.room = 0
        self.inside = False  # a relative clause, which has none of its own
        self.said = set()  # nouns, names, aspects and conjunctions of this sentence; 'women'

    def chance(self, probability):
        return self.random() < probability

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def pick_new(self, items):
        """One of these nouns or names, if possible one that the sentence does not have yet."""
        item = self.pick(items)
        if item in self.said:
            item = self.pick([item for item in items if item not in self.said] or items)
        self.said.add(item)
        return item

    def adjective(self, kinds, **features):
        """An adjective for these kinds of things, of an aspect not told yet; None without one."""
        left = [
            adjective
            for adjective in adjectives_for(kinds)
            if adjective.aspect not in self.said
            and all(getattr(adjective, name) == value for name, value in features.items())
        ]
        if not left:
            return None
        adjective = self.pick(left)
        self.said.add(adjective.aspect)
        return adjective

    def word(self, text, before_vowel=None):
        """A new English word, counted."""
        self.room -= 1
        return Word(text, before_vowel)

    def translated(self, table):
        """A random entry of a table of single words, as a phrase."""
        english, french = self.pick(tuple(table.items()))
        word = self.word(english)
        return Phrase([word], [Word(french, None, (word,))])

    # Noun phrases --------------------------------------------------------------------------------

    def inflect(self, adjective, feminine, plural, link):
        """The French adjective in its form for this gender and number."""
        return Word(adjective.french[feminine + 2 * plural], None, (link,))

    def adjectives(self, noun, plural):
        """Up to two adjectives, or one with 'very': English words, and French before and after."""
        english, before, after = [], [], []
        if self.room < 5 or not self.chance(0.4):
            return english, before, after
        first = self.adjective(noun.kinds)
        second = None
        if first is not None and first.before_noun and self.room > 6 and self.chance(0.35):
            second = self.adjective(noun.kinds, before_noun=False)
        for adjective in filter(None, (first, second)):
            french = before if adjective.before_noun else after
            gradable = second is None and adjective.aspect != "colour"
            if gradable and self.room > 6 and self.chance(0.25):
                very = self.word("very")
                english.append(very)
                french.append(Word("très", None, (very,)))
            english.append(self.word(adjective.english))
            french.append(self.inflect(adjective, noun.feminine, plural, english[-1]))
            if not (noun.feminine or plural):  # 'un vieil ami', but 'je suis vieux et fatigué'
                french[-1].before_vowel = adjective.before_vowel
        return english, before, after

    def determiner(self, noun, plural, reference, negated, bare):
        """A determiner, English word and list of French ones.

        Args:
            noun: Noun it belongs to.
            plural: whether the noun is in the plural.
            reference: 'definite' leaves out 'a', 'some', numbers and 'many', 'indefinite' all
                others; 'any' leaves nothing out.
            negated: whether it is the object of a negated verb: then 'a' and 'any' are 'de'.
            bare: whether no adjective stands before the noun: then 'some' is 'des', else 'de'.
        """
        definite = reference != "any" or self.chance(0.65)
        if reference != "indefinite" and (definite or noun.owned == 1):
            if self.chance(noun.owned):
                english = self.word(self.pick(tuple(POSSESSIVES)))
                forms = POSSESSIVES[english.text]
            elif self.chance(0.8):
                english, forms = self.word("the"), ARTICLE
            else:
                english, forms = self.word("these" if plural else "this"), DEMONSTRATIVE
            if plural:
                return english, [Word(forms[4], None, (english,))]
            return english, [Word(*forms[2 * noun.feminine :][:2], (english,))]
        if not plural:
            english = self.word("a", "an")
            article = Word("une" if noun.feminine else "un", None, (english,))
            return english, [de(english) if negated else article]
        choice = self.random()
        if choice < 0.5 or negated:
            english = self.word("any" if negated else "some")
            article = Word("des", None, (english,))
            return english, [article if bare and not negated else de(english)]
        if choice < 0.85:
            english = self.word(self.pick(tuple(NUMBERS)))
            return english, [Word(NUMBERS[english.text], None, (english,))]
        english = self.word("many")
        return english, [Word("beaucoup", None, (english,)), de(english)]

    def plain_noun_phrase(self, noun, plural, reference="definite", negated=False):
        """Determiner, adjectives and noun: 'a small red car' (une petite voiture rouge)."""
        self.room -= 1
        link = Word(noun.english[plural])
        english, before, after = self.adjectives(noun, plural)
        determiner, french = self.determiner(noun, plural, reference, negated, bare=not before)
        return self.features(
            noun,
            plural,
            [determiner, *english, link],
            [*french, *before, Word(noun.french[plural], None, (link,)), *after],
            determiner.text in POSSESSIVES,
            determiner.text in POSSESSIVES or determiner.text in ("the", "this", "these"),
        )

    def features(self, noun, plural, english, french, specific=True, definite=True):
        """The NounPhrase of a noun and its words."""
        person = ILS if plural else IL
        phrase = NounPhrase(
            english, french, person, noun.feminine, noun.kinds, None, specific, definite
        )
        if noun.kind == "person":
            self.mention_people(phrase, plural)
        return phrase

    def mention_people(self, phrase, plural):
        """Choose the pronoun for a person or people, and remember women, who have none.

        'they' for women and 'it' would need a French gender of their own.
        """
        if not plural:
            phrase.pronoun = "she" if phrase.feminine else "he"
        elif phrase.feminine:
            phrase.pronoun = None
            self.said.add("women")
        else:
            phrase.pronoun = "they"

    def name(self):
        text, french, feminine = self.pick_new(NAMES)
        english = self.word(text)
        french = [Word(french, None, (english,))]
        pronoun = "she" if feminine else "he"
        return NounPhrase([english], french, IL, feminine, pronoun=pronoun, specific=True)

    def possessed(self, noun, plural):
        """'my brother 's red car' (la voiture rouge de mon frère)."""
        if self.chance(0.4):
            owner = self.name()
        else:
            owners = [owner for owner in nouns_for(PERSON) if owner.owned + noun.owned < 2]
            owner = self.plain_noun_phrase(self.pick_new(owners), plural=False)
        apostrophe = self.word("'s")
        self.room -= 1
        link = Word(noun.english[plural])
        english, before, after = self.adjectives(noun, plural)
        if plural:
            article = Word("les", None, (apostrophe,))
        else:
            article = Word("la" if noun.feminine else "le", "l'", (apostrophe,))
        french_noun = Word(noun.french[plural], None, (link,))
        return self.features(
            noun,
            plural,
            [*owner.english, apostrophe, *english, link],
            [article, *before, french_noun, *after, de(apostrophe), *owner.french],
        )

    def noun_phrase(self, kinds, reference="definite", negated=False, joined=False):
        """A name, or a noun for one of these kinds of things with all that may hang on it.

        Where `joined` allows it, that may be a second noun: 'the boy and his sister'.

        No noun has both an owner and a relative clause: 'the sister of the man who is small' would
        not say who is small, and French has to.
        """
        if "person" in kinds and self.chance(0.15):
            return self.name()
        noun = self.pick_new(nouns_for(kinds))
        plural = self.chance(0.35)
        if reference == "indefinite":
            return self.plain_noun_phrase(noun, plural, reference, negated)
        if self.room > 7 and noun.owned and self.chance(0.2):
            return self.possessed(noun, plural)
        phrase = self.plain_noun_phrase(noun, plural, reference, negated)
        if negated:
            return phrase
        extra = self.random()
        if self.room > 6 and extra < 0.2 and not (phrase.specific or self.inside):
            self.inside = True
            phrase.add(self.relative_clause(phrase))
            self.inside = False
        elif self.room > 8 and joined and phrase.definite and extra > 0.75:
            others = tuple(other for other in nouns_for(frozenset((noun.kind,))) if other != noun)
            second = self.plain_noun_phrase(self.pick_new(others), self.chance(0.3))
            phrase.add(self.translated({"and": "et"}))
            phrase.add(second)
            phrase.person = ILS
            phrase.feminine = phrase.feminine and second.feminine
            phrase.kinds = frozenset((noun.kind,))
            if noun.kind == "person":
                self.mention_people(phrase, plural=True)
        return phrase

    def relative_clause(self, phrase):
        """'who sleeps' (qui dort) or 'that i see' (que je vois), about this noun phrase."""
        if phrase.kinds & LIVING and self.chance(0.5):
            pronoun = self.word("who" if "person" in phrase.kinds else "that")
            french = [Word("qui", None, (pronoun,))]
            features = phrase.person, phrase.feminine, phrase.kinds
            return self.clause(NounPhrase([pronoun], french, *features), inner=True)
        that = self.word("that")
        relative = Phrase([that], [que(that)])
        verbs = [verb for verb in TRANSITIVE if phrase.kinds & verb.objects["person"]]
        relative.add(self.clause(self.person(2), self.pick(verbs), gap=True, inner=True))
        return relative

    def pronoun(self, text=None):
        """This subject pronoun, or any."""
        entries = [entry for entry in PRONOUNS if text in (None, entry[0])]
        if text is None and "women" in self.said:  # who would be 'elles'
            entries.pop()
        text, french, before_vowel, person, feminine = self.pick(entries)
        english = self.word(text)
        french = [Word(french, before_vowel, (english,))]
        return NounPhrase([english], french, person, feminine, pronoun=text)

    def person(self, need=3):
        """A pronoun, or a person if there is room for one and for `need` words after it."""
        if self.room < need + 2 or self.chance(0.4):
            return self.pronoun()
        return self.noun_phrase(PERSON, self.reference(), joined=True)

    def reference(self):
        """How a subject is referred to."""
        return "definite" if self.chance(0.85) else "any"

    def subject(self):
        """Who or what a sentence is about: mostly a person."""
        if self.room > 4 and self.chance(0.25):
            if self.chance(0.4):
                return self.noun_phrase(THINGS, joined=True)
            return self.noun_phrase(ANIMAL, self.reference(), joined=True)
        return self.person()

    # Clauses -------------------------------------------------------------------------------------

    def clause(self, subject, verb=None, question=None, gap=False, inner=False, plain=False):
        """One clause.

        Args:
            subject: NounPhrase.
            verb: Verb, or None for one that suits the subject and the room left, or for 'be'.
            question: Phrase that opens a question (empty if it asks for yes or no), or None.
            gap: whether the object is missing, having moved to the front ('that i see').
            inner: whether this is a relative clause, which has no adverbials.
            plain: neither negated nor in the future.

        Returns:
            Clause.
        """
        if verb is None:
            if not subject.kinds & LIVING or (subject.definite and self.chance(0.2)):
                return self.description(subject, question)
            verb = self.main_verb(subject, question)
        self.room -= 1
        spare = self.room - (0 if gap or verb in INTRANSITIVE else 2)  # what the object leaves
        negated = not plain and verb is not THINK and spare > 1
        negated = negated and self.chance(0.1 if question else 0.25)
        mode = None
        if verb.modes and spare > 2 and self.chance(0.35):
            mode = VERBS[self.pick(verb.modes)]
            if (mode is MUST and "animal" in subject.kinds) or (mode is GO and plain):
                mode = None
        pronoun, complement = Phrase(), Phrase()
        if not gap:
            pronoun, complement = self.complements(verb, subject, negated)
        can_repeat = mode is not GO and verb not in (THINK, HAVE, LOVE) and self.room > 3
        can_repeat = can_repeat and not (inner or plain)
        frequent = can_repeat and self.chance(0.15)
        auxiliary, rest, finite, infinitive = self.verb_group(
            verb, mode, subject.person, supported=negated or question is not None
        )
        clause = self.assemble(
            subject,
            auxiliary,
            [*([] if infinitive else pronoun.french), finite],
            negated,
            frequent,
            question,
        )
        clause.english += rest + pronoun.english
        if infinitive:
            clause.french += [*pronoun.french, infinitive]
        clause.add(complement)
        clause.eventful = verb.activity
        if verb is THINK:
            clause.subject, clause.eventful = complement.subject, complement.eventful
        elif not (gap or inner or (question and question.english)):
            self.adverbials(clause, verb, mode, timed=not (frequent or plain))
        return clause

    def verb_group(self, verb, mode, person, supported):
        """Conjugate a verb in both languages.

        Args:
            verb: Verb.
            mode: the Verb that governs it (CAN, MUST, WANT or GO), or None.
            person: index of the subject's person.
            supported: whether English needs 'do', for a negation or a question.

        Returns:
            English auxiliary or None, the list of the other English words, the finite French verb,
            and the French infinitive or None.
        """
        third = person == IL
        base, third_form, particle = verb.english
        words = [Word(base), *([self.word(particle)] if particle else [])]
        finite, infinitive = Word(verb.french[person], None, tuple(words)), None
        if mode is not None:
            infinitive = Word(verb.french[INFINITIVE], None, tuple(words))
            finite = Word(mode.french[person])
        auxiliary = None
        if mode in (CAN, MUST):
            auxiliary = self.word(mode.english[0])
            finite.links = (auxiliary,)
        elif mode is GO:
            auxiliary = self.word(BE_ENGLISH[person])
            words = [self.word("going"), self.word("to"), *words]
            finite.links = (auxiliary, words[0])
        else:
            if mode is WANT:
                base, third_form, _ = WANT.english
                words = [self.word(base), self.word("to"), *words]
                finite.links = (words[0],)
            if supported:
                auxiliary = self.word("does" if third else "do")
            elif third:
                words[0].text = third_form
        return auxiliary, words, finite, infinitive

    def assemble(self, subject, auxiliary, finite, negated, frequent, question):
        """Put subject, auxiliary, negation and adverb in each language's order.

        Args:
            subject: NounPhrase.
            auxiliary: English Word or None.
            finite: the French verb, behind its object pronoun if it has one.
            negated: whether to negate.
            frequent: whether to add 'often' or 'always'.
            question: Phrase that opens a question, or None.

        Returns:
            Clause, up to the adverb.
        """
        clause = Clause(subject=subject)
        if question is not None:
            clause.add(question)
            clause.english.append(auxiliary)
            clause.french += [Word("est-ce", None, (auxiliary,)), que(auxiliary)]
        clause.add(subject)
        if question is None and auxiliary is not None:
            clause.english.append(auxiliary)
        if negated:
            link = self.word("not")
            clause.english.append(link)
            finite = [Word("ne", "n'", (link,)), *finite, Word("pas", None, (link,))]
        clause.french += finite
        if frequent:
            clause.add(self.translated(FREQUENCY))
        return clause

    def description(self, subject, question=None, **features):
        """'the girl is not very tired' (la fille n'est pas très fatiguée).

        Args:
            subject: NounPhrase.
            question: Phrase that opens a question, or None.
            features: what the Adjective has to have.

        Raises:
            NothingLeft: if all that could be said of the subject has been.
        """
        adjective = self.adjective(subject.kinds, **features)
        if adjective is None:
            raise NothingLeft
        self.room -= 1
        auxiliary = self.word(BE_ENGLISH[subject.person])
        passing = adjective.aspect == "mood"
        negated = not features and self.room > 1 and self.chance(0.1 if question else 0.25)
        frequent = passing and not features and self.room > 3 and self.chance(0.15)
        finite = Word(BE_FRENCH[subject.person], None, (auxiliary,))
        clause = self.assemble(subject, auxiliary, [finite], negated, frequent, question)
        if adjective.aspect != "colour" and self.room > 2 and self.chance(0.3):
            clause.add(self.translated({"very": "très"}))
        word = Word(adjective.english)
        plural = subject.person in (NOUS, VOUS, ILS)
        clause.english.append(word)
        clause.french.append(self.inflect(adjective, subject.feminine, plural, word))
        clause.eventful = passing
        return clause

    def main_verb(self, subject, question):
        """A verb that this subject can do, and that leaves room for its object."""
        choice = self.random()
        if self.room < 4 and self.chance(0.6):
            verbs = INTRANSITIVE
        elif "person" in subject.kinds and choice < 0.54:
            if choice < 0.22 and self.room > 6:
                return GIVE
            if choice < 0.30:
                return SPEAK
            if choice < 0.37:
                return HAVE
            if choice < 0.42:
                return WANT
            # Asked or denied, it would want the subjunctive.
            if question is None and self.room > 5:
                return THINK
            verbs = TRANSITIVE
        else:
            verbs = INTRANSITIVE if choice > 0.85 else TRANSITIVE
        return self.pick([verb for verb in verbs if verb.objects_of(subject) is not None])

    def complements(self, verb, subject, negated):
        """What a verb acts on: an object pronoun, and all the rest (a Clause after 'think')."""
        pronoun, rest = Phrase(), Phrase()
        objects = verb.objects_of(subject)
        if verb is THINK:
            that = self.word("that")
            inner = self.clause(self.subject())
            rest = Clause([that], [que(that)], inner.subject, inner.eventful)
            rest.add(inner)
        elif (
            verb in TRANSITIVE
            and self.chance(0.35 if self.room > 3 else 0.7)
            and ("person" in objects or self.only_said(objects))
        ):
            english, french, before_vowel, _ = self.object_pronoun(subject, objects)
            word = self.word(english)
            pronoun = Phrase([word], [Word(french, before_vowel, (word,))])
        elif objects:
            reference = "definite" if verb is LOVE else "any"
            if verb is HAVE or (verb in (WANT, GIVE) and self.chance(0.5)):
                reference = "indefinite"
            rest = self.noun_phrase(objects, reference, negated)
        if verb in (SPEAK, GIVE):
            to = self.word("to")
            rest.english.append(to)
            if self.room < 3 or self.chance(0.4):  # 'to him' (lui), before the verb in French
                english, _, before_vowel, french = self.object_pronoun(subject, PERSON)
                word = self.word(english)
                rest.english.append(word)
                before_vowel = before_vowel if french == "me" else None
                pronoun.french.append(Word(french, before_vowel, (to, word)))
            else:
                rest.french.append(Word("à", None, (to,)))
                rest.add(self.noun_phrase(PERSON))
        return pronoun, rest

    def only_said(self, kinds):
        """Whether 'them' reminds a reader of nothing but such things."""
        nouns = [item for item in self.said if isinstance(item, Noun)]
        return all(noun.kinds & (kinds | LIVING | {"place"}) for noun in nouns)

    def object_pronoun(self, subject, objects):
        """An entry of OBJECT_PRONOUNS for these kinds of things, not for the subject itself."""
        if "person" not in objects:
            return OBJECT_PRONOUNS[-1]  # 'them', for things
        excluded = {
            "i": ("me", "us"),
            "we": ("me", "us"),
            "you": ("you",),
            "he": ("him",),
            "she": ("her",),
            "they": ("them",),
        }.get(subject.pronoun, ())
        return self.pick([entry for entry in OBJECT_PRONOUNS if entry[0] not in excluded])

    def adverbials(self, clause, verb, mode, timed):
        """Append a place or company, and a time, to the clause if there is room."""
        if verb.places and self.room > 5 and self.chance(0.3):
            text = self.pick(tuple(PREPOSITIONS))
            kinds = {"in": verb.places, "near": LANDMARKS, "with": PERSON}[text]
            preposition = self.word(text)
            clause.english.append(preposition)
            clause.french += rendered(PREPOSITIONS[text], preposition)
            clause.add(self.noun_phrase(kinds))
        elif verb.places and timed and self.room > 2 and self.chance(0.08):
            clause.add(self.translated({"here": "ici"}))
        if mode is GO:
            if self.chance(0.4):
                clause.add(self.translated({"tomorrow": "demain"}))
        elif clause.eventful and timed and self.room > 2 and self.chance(0.15):
            clause.add(self.translated(TIMES))
            clause.eventful = False  # told already

    # Sentences -----------------------------------------------------------------------------------

    def question(self):
        """The main clause of a question."""
        choice = self.random()
        if choice < 0.12:  # who sees the dog ?
            who = self.translated({"who": "qui"})
            verb = self.pick(TRANSITIVE + INTRANSITIVE)
            return self.clause(NounPhrase(who.english, who.french), verb)
        if choice < 0.24:  # what do you see ?
            what = self.word("what")
            verb = self.pick([verb for verb in TRANSITIVE if verb.objects["person"] - LIVING])
            opening = Phrase([what], [que(what)])
            return self.clause(self.person(), verb, question=opening, gap=True)
        if choice < 0.45:  # where do you see it ?
            text, french = self.pick((("where", "où"), ("when", "quand"), ("why", "pourquoi")))
            opening, subject = self.translated({text: french}), self.person()
            verbs = [*INTRANSITIVE, *TRANSITIVE, SPEAK]
            verbs = [verb for verb in verbs if (verb.places if text == "where" else verb.activity)]
            clause = self.clause(subject, self.pick(verbs), question=opening)
            clause.eventful = text == "where"
            return clause
        return self.clause(self.subject(), question=Phrase())

    def reason(self, subject, link):
        """A clause that can tell why ('because') or when something is done by this subject."""
        again = subject.pronoun is not None and self.chance(0.6)
        if link == "when" and "mood" in self.said:
            again = False  # 'she sleeps when she reads'
        new = self.pronoun(subject.pronoun) if again else self.person()
        if "mood" not in self.said and (link == "when" if again else self.chance(0.4)):
            return self.description(new, aspect="mood")
        verb = self.main_verb(new, question=Phrase()) if again else self.pick(INTRANSITIVE)
        return self.clause(new, verb, plain=True)

    def sequel(self, subject):
        """A clause that can follow one about this subject: on the same, or on one of its kind."""
        if subject.pronoun is not None and self.chance(0.5):
            again = self.pronoun(subject.pronoun)
            return self.clause(again, self.main_verb(again, question=None))
        if subject.kinds & ANIMAL and self.chance(0.5):
            return self.clause(self.noun_phrase(ANIMAL))
        if subject.kinds & LIVING:
            return self.clause(self.person())
        return self.description(self.noun_phrase(subject.kinds & THINGS))

    def sentence(self, length):
        """One sentence of about `length` English words, as a Phrase."""
        self.room = length - 1
        self.said.clear()
        self.inside = False
        asks = self.chance(0.2)
        clause = self.question() if asks else self.clause(self.subject())
        sentence = Phrase(list(clause.english), list(clause.french))
        reasoned = False
        while self.room > 5 and not (asks and (reasoned or not clause.eventful)):
            reasoned = clause.eventful and not reasoned and (asks or self.chance(0.6))
            links = ("when",) if asks else ("because", "when") if reasoned else ("but", "and")
            link = self.pick_new(links)
            clause = self.reason(clause.subject, link) if reasoned else self.sequel(clause.subject)
            if link == "but":
                sentence.add(self.translated({",": ","}))
            word = self.word(link)
            sentence.english.append(word)
            sentence.french += rendered(CONJUNCTIONS[link], word)
            sentence.add(clause)
        sentence.add(self.translated({"?": "?"} if asks else {".": "."}))
        return sentence


@cache
def _features():
    """Each French noun, adjective and verb form -> what others depend on, all it can be."""
    features = defaultdict(set)
    for noun in NOUNS:
        for plural, form in enumerate(noun.french):
            features[form].add(("noun", noun.feminine, plural))
    for adjective in ADJECTIVES:
        for i, form in enumerate(adjective.french):
            changes = i == 0 and adjective.before_vowel is not None  # 'beau' before a vowel
            features[form].add(("adjective", adjective.before_noun, i, changes))
    for verb in INTRANSITIVE + TRANSITIVE:
        for person, form in enumerate(verb.french):
            features[form].add(("verb", verb in TRANSITIVE, person))
    return {
        form: (found, form[0] in FRENCH_VOWELS and form not in ASPIRATED)
        for form, found in features.items()
    }


def substitutes(word: str) -> list[str]:
    """French words that can take a word's place in a sentence of the grammar.

    They say something else, but ask for the same articles, endings and order: whatever stands
    before and behind stays as it is.

    Args:
        word: a French word.

    Returns:
        List of words, without this one; empty if there are none, or the word is unknown.
    """
    features = _features()
    same = features.get(word)
    return [other for other, found in features.items() if found == same and other != word]


def forms(word: str) -> list[str]:
    """The other forms of a French word, as of 'belle': beau, beaux, belles, bel.

    Args:
        word: a noun, adjective, verb, article or possessive.

    Returns:
        List of words, without this one; empty if there are none, or the word is unknown.
    """
    determiners = (ARTICLE, DEMONSTRATIVE, ("un", "une", "des"), *POSSESSIVES.values())
    adjectives = [(*adjective.french, adjective.before_vowel) for adjective in ADJECTIVES]
    verbs = [verb.french for verb in VERBS.values()]
    found = {}
    for table in (*determiners, *adjectives, *verbs, *(noun.french for noun in NOUNS)):
        if word in table:
            found |= dict.fromkeys(table)
    return [form for form in found if form not in (word, None)]


def generate(
    num_pairs: int = 20_000, max_tokens: int = 30, seed: int = 0
) -> list[tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[int, int], ...]]]:
    """Write distinct English-French sentence pairs with their word alignments.

    Lengths lie between 3 and `max_tokens` on both sides; short sentences are more frequent.

    Args:
        num_pairs: number of pairs.
        max_tokens: the greatest number of tokens of a sentence in either language, at least 3.
        seed: integer. The same seed gives the same pairs on every machine.

    Returns:
        List of (source tokens, target tokens, alignment), each a tuple; the alignment is a sorted
        tuple of (source index, target index). Every target token is linked to one source token or
        more; of the source only the 'do' of a negation and the 'to' of an infinitive have no link.

    Raises:
        ValueError: if the grammar does not have that many sentences of that length.
    """
    if max_tokens < 3:
        raise ValueError(f"max_tokens is {max_tokens}, but the shortest sentence has 3 tokens")
    writer = Writer(seed)
    pairs, seen, failures = [], set(), 0
    while len(pairs) < num_pairs:
        # The power makes short sentences frequent and leaves long ones common.
        try:
            sentence = writer.sentence(5 + int(max_tokens * writer.random() ** 1.6))
        except NothingLeft:
            continue
        source = tuple(render_english(sentence.english))
        target, links = render_french(sentence.french)
        if source in seen or max(len(source), len(target)) > max_tokens:
            failures += 1
            if failures == 10_000:
                raise ValueError(
                    f"cannot write {num_pairs} distinct sentences of at most {max_tokens} tokens: "
                    f"gave up after {len(pairs)}; ask for fewer or for longer ones"
                )
            continue
        failures = 0
        seen.add(source)
        position = {id(word): i for i, word in enumerate(sentence.english)}
        alignment = {(position[id(word)], j) for j, words in enumerate(links) for word in words}
        pairs.append((source, tuple(target), tuple(sorted(alignment))))
    return pairs
