"""A small synchronous grammar of English and French that writes translated sentences.

Both sides are built at the same time from one lexicon, and every French word remembers the English
words it renders, so that each pair comes with its gold word alignment. One English sentence has
exactly one French translation: 'you' is always the plural 'vous', persons whose gender English
hides are masculine, and verbs stand in the present or the near future.

Here live the lexicon and the rules; corpora.py turns the sentences into a corpus.
"""

import random
from dataclasses import dataclass, field
from functools import cache

__all__ = ["generate"]

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
    """An adjective: French forms (masculine, feminine, both plurals), place, what it describes."""

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

LIVING = frozenset(("person", "animal"))
GOODS = frozenset(("thing", "food", "text"))
ANYTHING = LIVING | GOODS | {"place"}

ADJECTIVES = (
    Adjective("small", ("petit", "petite", "petits", "petites"), ANYTHING, True),
    Adjective("big", ("grand", "grande", "grands", "grandes"), ANYTHING, True),
    Adjective("old", ("vieux", "vieille", "vieux", "vieilles"), ANYTHING, True, "vieil"),
    Adjective("beautiful", ("beau", "belle", "beaux", "belles"), ANYTHING, True, "bel"),
    Adjective("young", ("jeune", "jeune", "jeunes", "jeunes"), LIVING, True),
    Adjective("red", ("rouge", "rouge", "rouges", "rouges"), GOODS - {"text"}),
    Adjective("white", ("blanc", "blanche", "blancs", "blanches"), ANYTHING - {"person", "text"}),
    Adjective("happy", ("heureux", "heureuse", "heureux", "heureuses"), LIVING),
    Adjective("tired", ("fatigué", "fatiguée", "fatigués", "fatiguées"), LIVING),
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
    _verb("sleep sleeps", "dors dort dormons dormez dorment dormir", subjects=LIVING),
    _verb("sing sings", "chante chante chantons chantez chantent chanter"),
    _verb("work works", "travaille travaille travaillons travaillez travaillent travailler"),
    _verb("arrive arrives", "arrive arrive arrivons arrivez arrivent arriver", subjects=LIVING),
)
TRANSITIVE = (
    _verb("see sees", "vois voit voyons voyez voient voir", ANYTHING, LIVING),
    _verb("love loves", "aime aime aimons aimez aiment aimer", ANYTHING, LIVING),
    _verb(
        "look looks for", "cherche cherche cherchons cherchez cherchent chercher", ANYTHING, LIVING
    ),
    _verb("help helps", "aide aide aidons aidez aident aider", ("person",)),
    _verb("buy buys", "achète achète achetons achetez achètent acheter", GOODS),
    _verb("eat eats", "mange mange mangeons mangez mangent manger", ("food",), LIVING),
    _verb("read reads", "lis lit lisons lisez lisent lire", ("text",)),
)
HAVE = _verb("have has", "ai a avons avez ont", GOODS | {"animal"})
GIVE = _verb("give gives", "donne donne donnons donnez donnent donner", GOODS)
SPEAK = _verb("speak speaks", "parle parle parlons parlez parlent parler", ("person",))
THINK = _verb("think thinks", "pense pense pensons pensez pensent penser")
WANT = _verb("want wants", "veux veut voulons voulez veulent", GOODS)
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
# Object pronouns: English, French direct object, its form before a vowel, after "à", person.
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
    kind: str = "person"


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


class Writer:
    """Writes random sentences; `room` is the number of English words still wanted in this one."""

    def __init__(self, seed):
        # Only random() is used: the one method whose sequence Python promises not to change.
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
        chosen = [self.pick(adjectives_for(noun.kind))]
        if chosen[0].before_noun and self.room > 6 and self.chance(0.35):
            second = self.pick(adjectives_for(noun.kind))
            if not second.before_noun:
                chosen.append(second)
        for adjective in chosen:
            french = before if adjective.before_noun else after
            if len(chosen) == 1 and self.room > 6 and self.chance(0.25):
                very = self.word("very")
                english.append(very)
                french.append(Word("très", None, (very,)))
            english.append(self.word(adjective.english))
            french.append(self.inflect(adjective, noun.feminine, plural, english[-1]))
            if not (noun.feminine or plural):  # 'un vieil ami', but 'je suis vieux et fatigué'
                french[-1].before_vowel = adjective.before_vowel
        return english, before, after

    def determiner(self, noun, plural, definite, negated, bare):
        """A determiner, English word and list of French ones.

        Args:
            noun: Noun it belongs to.
            plural: whether the noun is in the plural.
            definite: leave out 'a', 'some', numbers and 'many'.
            negated: whether it is the object of a negated verb: then 'a' and 'any' are 'de'.
            bare: whether no adjective stands before the noun: then 'some' is 'des', else 'de'.
        """
        choice = self.random() * (0.65 if definite else 1)
        if choice < 0.65:
            if choice < 0.35:
                english, forms = self.word("the"), ARTICLE
            elif choice < 0.45:
                english, forms = self.word("these" if plural else "this"), DEMONSTRATIVE
            else:
                english = self.word(self.pick(tuple(POSSESSIVES)))
                forms = POSSESSIVES[english.text]
            if plural:
                return english, [Word(forms[4], None, (english,))]
            return english, [Word(*forms[2 * noun.feminine :][:2], (english,))]
        if not plural:
            english = self.word("a", "an")
            article = Word("une" if noun.feminine else "un", None, (english,))
            return english, [de(english) if negated else article]
        if choice < 0.85:
            english = self.word("any" if negated else "some")
            article = Word("des", None, (english,))
            return english, [article if bare and not negated else de(english)]
        if choice < 0.95:
            english = self.word(self.pick(tuple(NUMBERS)))
            return english, [Word(NUMBERS[english.text], None, (english,))]
        english = self.word("many")
        return english, [Word("beaucoup", None, (english,)), de(english)]

    def plain_noun_phrase(self, noun, plural, definite=True, negated=False):
        """Determiner, adjectives and noun: 'a small red car' (une petite voiture rouge)."""
        self.room -= 1
        link = Word(noun.english[plural])
        english, before, after = self.adjectives(noun, plural)
        determiner, french = self.determiner(noun, plural, definite, negated, bare=not before)
        return NounPhrase(
            [determiner, *english, link],
            [*french, *before, Word(noun.french[plural], None, (link,)), *after],
            ILS if plural else IL,
            noun.feminine,
            noun.kind,
        )

    def name(self):
        text, french, feminine = self.pick(NAMES)
        english = self.word(text)
        return NounPhrase([english], [Word(french, None, (english,))], IL, feminine)

    def possessed(self, noun, plural):
        """'my brother 's red car' (la voiture rouge de mon frère)."""
        if self.chance(0.4):
            owner = self.name()
        else:
            owner = self.plain_noun_phrase(self.pick(nouns_for(("person",))), plural=False)
        apostrophe = self.word("'s")
        self.room -= 1
        link = Word(noun.english[plural])
        english, before, after = self.adjectives(noun, plural)
        if plural:
            article = Word("les", None, (apostrophe,))
        else:
            article = Word("la" if noun.feminine else "le", "l'", (apostrophe,))
        french_noun = Word(noun.french[plural], None, (link,))
        return NounPhrase(
            [*owner.english, apostrophe, *english, link],
            [article, *before, french_noun, *after, de(apostrophe), *owner.french],
            ILS if plural else IL,
            noun.feminine,
            noun.kind,
        )

    def noun_phrase(self, kinds, definite=False, negated=False):
        """A name, or a noun for one of these kinds of things with all that may hang on it.

        No noun has both an owner and a relative clause: 'the sister of the man who is small' would
        not say who is small, and French has to.
        """
        if "person" in kinds and self.chance(0.15):
            return self.name()
        noun = self.pick(nouns_for(kinds))
        plural = self.chance(0.4)
        if self.room > 7 and self.chance(0.12):
            return self.possessed(noun, plural)
        phrase = self.plain_noun_phrase(noun, plural, definite, negated)
        if negated:
            return phrase
        extra = self.random()
        if self.room > 6 and extra < 0.16:
            phrase.add(self.relative_clause(phrase))
        elif self.room > 8 and definite and extra < 0.24:
            second = self.pick(nouns_for((noun.kind,)))
            second = self.plain_noun_phrase(second, self.chance(0.3))
            phrase.add(self.translated({"and": "et"}))
            phrase.add(second)
            phrase.person = ILS
            phrase.feminine = phrase.feminine and second.feminine
        return phrase

    def relative_clause(self, phrase):
        """'who sleeps' (qui dort) or 'that i see' (que je vois), about this noun phrase."""
        if phrase.kind in LIVING and self.chance(0.5):
            pronoun = self.word("who" if phrase.kind == "person" else "that")
            french = [Word("qui", None, (pronoun,))]
            features = phrase.person, phrase.feminine, phrase.kind
            return self.clause(NounPhrase([pronoun], french, *features), inner=True)
        that = self.word("that")
        relative = Phrase([that], [que(that)])
        verb = self.pick([verb for verb in TRANSITIVE if phrase.kind in verb.objects])
        relative.add(self.clause(self.subject(2), verb, gap=True, inner=True))
        return relative

    def subject(self, need=3):
        """A pronoun, or a noun phrase if there is room for one and for `need` words after it."""
        if self.room < need + 2 or self.chance(0.4):
            text, french, before_vowel, person, feminine = self.pick(PRONOUNS)
            english = self.word(text)
            return NounPhrase(
                [english], [Word(french, before_vowel, (english,))], person, feminine
            )
        kinds = ("person", "animal") if self.chance(0.35) else ("person",)
        return self.noun_phrase(kinds, definite=self.chance(0.8))

    # Clauses -------------------------------------------------------------------------------------

    def clause(self, subject, verb=None, question=None, gap=False, inner=False):
        """One clause.

        Args:
            subject: NounPhrase.
            verb: Verb, or None for one that suits the subject and the room left, or for 'be'.
            question: Phrase that opens a question (empty if it asks for yes or no), or None.
            gap: whether the object is missing, having moved to the front ('that i see').
            inner: whether this is a relative clause, which has no adverbials.

        Returns:
            Phrase.
        """
        if verb is None:
            if self.chance(0.2):
                return self.description(subject, question)
            verb = self.main_verb(subject, question)
        self.room -= 1
        spare = self.room - (0 if gap or verb in INTRANSITIVE else 2)  # what the object leaves
        negated = verb is not THINK and spare > 1 and self.chance(0.25)
        mode = None
        if verb not in (THINK, HAVE, WANT) and spare > 2 and self.chance(0.35):
            mode = self.pick((CAN, MUST, WANT, GO))
        pronoun, complement = Phrase(), Phrase()
        if not gap:
            pronoun, complement = self.complements(verb, subject, negated)
        frequent = mode is not GO and not inner and self.room > 3
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
        if not (gap or inner or (question and question.english)):
            self.adverbials(clause, tomorrow=mode is GO)
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
            frequent: whether 'often' or 'always' may be added.
            question: Phrase that opens a question, or None.

        Returns:
            Phrase, up to the adverb.
        """
        clause = Phrase()
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
        if frequent and self.chance(0.15):
            clause.add(self.translated(FREQUENCY))
        return clause

    def description(self, subject, question):
        """'the girl is not very tired' (la fille n'est pas très fatiguée)."""
        self.room -= 1
        auxiliary = self.word(BE_ENGLISH[subject.person])
        negated = self.room > 1 and self.chance(0.25)
        finite = Word(BE_FRENCH[subject.person], None, (auxiliary,))
        clause = self.assemble(subject, auxiliary, [finite], negated, self.room > 3, question)
        if self.room > 2 and self.chance(0.3):
            clause.add(self.translated({"very": "très"}))
        adjective = self.pick(adjectives_for(subject.kind))
        word = Word(adjective.english)
        plural = subject.person in (NOUS, VOUS, ILS)
        clause.english.append(word)
        clause.french.append(self.inflect(adjective, subject.feminine, plural, word))
        return clause

    def main_verb(self, subject, question):
        """A verb that this subject can do, and that leaves room for its object."""
        choice = self.random()
        if self.room < 4 and self.chance(0.6):
            verbs = INTRANSITIVE
        elif subject.kind == "person" and choice < 0.54:
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
        return self.pick([verb for verb in verbs if subject.kind in verb.subjects])

    def complements(self, verb, subject, negated):
        """What a verb acts on: an object pronoun and all the rest, as two Phrases."""
        pronoun, rest = Phrase(), Phrase()
        if verb is THINK:
            that = self.word("that")
            rest = Phrase([that], [que(that)])
            rest.add(self.clause(self.subject()))
        elif verb in TRANSITIVE and self.chance(0.35 if self.room > 3 else 0.7):
            english, french, before_vowel, _, _ = self.object_pronoun(subject, verb)
            word = self.word(english)
            pronoun = Phrase([word], [Word(french, before_vowel, (word,))])
        elif verb.objects and verb is not SPEAK:
            rest = self.noun_phrase(verb.objects, self.chance(0.5), negated)
        if verb in (SPEAK, GIVE):
            to = self.word("to")
            rest.english.append(to)
            if self.room < 3 or self.chance(0.4):  # 'to him' (lui), before the verb in French
                english, _, before_vowel, french, _ = self.object_pronoun(subject, verb)
                word = self.word(english)
                rest.english.append(word)
                before_vowel = before_vowel if french == "me" else None
                pronoun.french.append(Word(french, before_vowel, (to, word)))
            else:
                rest.french.append(Word("à", None, (to,)))
                rest.add(self.noun_phrase(("person",), definite=True))
        return pronoun, rest

    def object_pronoun(self, subject, verb):
        """An entry of OBJECT_PRONOUNS that does not make the verb reflexive ('you see you')."""
        if "person" not in verb.objects and verb is not GIVE:
            return OBJECT_PRONOUNS[-1]  # 'them', for things
        excluded = {JE: (JE, NOUS), NOUS: (JE, NOUS), VOUS: (VOUS,)}.get(subject.person, ())
        return self.pick([entry for entry in OBJECT_PRONOUNS if entry[-1] not in excluded])

    def adverbials(self, clause, tomorrow):
        """Append a place or company, and a time, to the clause if there is room."""
        if self.room > 5 and self.chance(0.22):
            table, kinds = self.pick(((PLACES, ("place",)), (COMPANIONS, ("person",))))
            preposition = self.word(self.pick(tuple(table)))
            clause.english.append(preposition)
            for text in table[preposition.text]:
                clause.french.append(
                    de(preposition) if text == "de" else Word(text, None, (preposition,))
                )
            clause.add(self.noun_phrase(kinds, definite=True))
        if tomorrow and self.chance(0.4):
            clause.add(self.translated({"tomorrow": "demain"}))
        elif self.room > 2 and self.chance(0.15):
            clause.add(self.translated(TIMES))

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
            verb = self.pick([verb for verb in TRANSITIVE if verb.objects & GOODS])
            opening = Phrase([what], [que(what)])
            return self.clause(self.subject(), verb, question=opening, gap=True)
        if choice < 0.45:  # where do you see it ?
            opening, subject = self.translated(QUESTION_WORDS), self.subject()
            return self.clause(subject, self.main_verb(subject, opening), question=opening)
        return self.clause(self.subject(), question=Phrase())

    def sentence(self, length):
        """One sentence of about `length` English words, as a Phrase."""
        self.room = length - 1
        asks = self.chance(0.2)
        sentence = self.question() if asks else self.clause(self.subject())
        subordinate = asks or self.chance(0.5)
        while self.room > 5:
            connectors = SUBORDINATORS if subordinate else COORDINATORS
            subordinate = not subordinate
            text = self.pick(tuple(connectors))
            if text == "but":
                sentence.add(self.translated({",": ","}))
            link = self.word(text)
            sentence.english.append(link)
            for part in connectors[text]:
                sentence.french.append(que(link) if part == "que" else Word(part, None, (link,)))
            sentence.add(self.clause(self.subject()))
        sentence.add(self.translated({"?": "?"} if asks else {".": "."}))
        return sentence


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
        # The cube makes short sentences frequent and leaves long ones common.
        sentence = writer.sentence(5 + int(max_tokens * writer.random() ** 3))
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
