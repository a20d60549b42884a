"""Three small tasks beside translation, written by rule, so that every answer is known.

`dates` writes dates in many ways and as YYYY-MM-DD, `summaries` writes short reports and their
headlines, `questions` writes short texts with a question and the word that answers it. Each gives
a `corpora.ParallelCorpus` whose alignments say where in the source the answer stands. Names, towns
and numbers come from long lists, so that an answer has to be read and cannot be guessed.
"""

import datetime
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from d2l_ext import corpora

__all__ = ["date_tokens", "dates", "evidence", "questions", "sentence_spans", "summaries"]

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth"),
    *("seventeenth", "eighteenth", "nineteenth", "twentieth", "twenty-first"),
    *("twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth"),
    *("twenty-seventh", "twenty-eighth", "twenty-ninth", "thirtieth", "thirty-first"),
)


def _words(text):
    return tuple(text.split())


NAMES = _words("""
    adam agnes alice amir anna anton bella boris carla carlos david dora edgar elena emil esther
    felix fiona frank georg grace hanna hugo ida igor irene jack jonas julia karim kira laura leo
    linda lucas maria max mila nadia nils nora olga oscar paul rosa sven theo vera yuki zoe
""")
TOWNS = _words("""
    athens basel bergen berlin bilbao boston bristol cadiz cairo chicago cordoba dakar delft dover
    dublin essen florence geneva ghent glasgow hanoi havana krakow kyoto lagos leipzig lima lisbon
    lyon madrid milan munich nice odessa oslo oxford paris prague quito riga rome seoul sydney
    tokyo turin utrecht venice vienna warsaw zurich
""")
GOODS = _words("""
    apples balloons beans bells books boots bread brushes butter cakes candles chairs cheese clocks
    coats coffee drums eggs fans fish flags flour flowers gloves guitars hammers hats honey jars
    keys lamps lemons maps milk mirrors needles nuts onions paint paper pears pencils plates rice
    ropes salt shoes soap tea wine
""")


class Writer:
    """Draws at random, the same on every machine for the same seed."""

    def __init__(self, task, seed):
        # The task's name keeps these numbers apart from those that deal pairs into splits. Only
        # random() is promised to give the same numbers in every version of Python.
        self.random = random.Random(f"{task} {seed}").random

    def chance(self, probability):
        return self.random() < probability

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def number(self, low, high):
        """An integer from low to high, both included."""
        return low + int(self.random() * (high - low + 1))

    def sample(self, items, count):
        """So many different items in random order."""
        items = list(items)
        return [items.pop(int(self.random() * len(items))) for _ in range(count)]


def _distinct(write, num_pairs, what):
    """Call `write` until it has given so many pairs with different sources."""
    pairs, failures = {}, 0
    while len(pairs) < num_pairs:
        pair = write()
        if pair.source in pairs:
            failures += 1
            if failures == 10_000:
                raise ValueError(
                    f"cannot write {num_pairs} different {what}: gave up after {len(pairs)}; ask "
                    "for fewer"
                )
            continue
        failures = 0
        pairs[pair.source] = pair
    return list(pairs.values())


# Dates ------------------------------------------------------------------------------------------

FIRST_YEAR, LAST_YEAR = 1970, 2039  # of these two digits are enough to tell the century

# What stands in braces is filled in: d day, dd with two digits, m and mm likewise, yy the year's
# last two digits. As in much of Europe, dots put the day first; as in the USA, slashes the month.
DATE_FORMATS = (
    "the {ordinal} of {month} {year}",
    "the {ordinal} of {month} , {year}",
    "{month} the {ordinal} , {year}",
    "{month} {ordinal} {year}",
    "{month} {d} , {year}",
    "{month} {d} {suffix} , {year}",
    "{d} {month} {year}",
    "{d} {suffix} of {month} {year}",
    "{d} {mon} {year}",
    "{mon} . {d} , {year}",
    "{d} {mon} ' {yy}",
    "{dd} - {mon} - {yy}",
    "{d} . {m} . {year}",
    "{dd} . {mm} . {year}",
    "{d} . {m} . {yy}",
    "{dd} . {mm} . {yy}",
    "{m} / {d} / {year}",
    "{mm} / {dd} / {year}",
    "{m} / {d} / {yy}",
    "{year} / {m} / {d}",
    "{year} . {mm} . {dd}",
)
# How a day is told by another one, and how many days later it is.
DISTANCES = (("yesterday was", 1), ("tomorrow is", -1))
_YEAR, _MONTH, _DAY = range(4), (5, 6), (8, 9)  # where they stand in YYYY-MM-DD
_DATE_TOKEN = re.compile(r"\d|[^\W\d]+(?:-[^\W\d]+)*|[^\w\s]")


def date_tokens(text: str) -> list[str]:
    """Split a date into tokens: words, single digits and signs.

    Args:
        text: string, such as "May 3rd, 2021".

    Returns:
        List of tokens, in lower case.
    """
    return _DATE_TOKEN.findall(text.lower())


def dates(num_pairs: int = 8000, seed: int = 0) -> corpora.ParallelCorpus:
    """Write dates in many ways, and as YYYY-MM-DD.

    A number is a row of digits, one token each, so that a year can be copied that was never seen
    as a whole. Each date is there once: no date of one split is in another. Some have their
    weekday in front, which says nothing that the date does not. A year of two digits lies between
    1970 and 2039. One day in twelve or so is told by the one before or behind it, as in "tomorrow
    is may 3 , 2021". The alignment links each digit of the answer to the tokens that decide it.

    Args:
        num_pairs: number of dates.
        seed: integer that decides them and the split. The same seed gives the same corpus on every
            machine.

    Returns:
        `corpora.ParallelCorpus`.

    Raises:
        ValueError: if there are not that many dates from 1970 to 2039.
    """
    first = datetime.date(FIRST_YEAR, 1, 1).toordinal()
    days = range(first, datetime.date(LAST_YEAR + 1, 1, 1).toordinal())
    if num_pairs > len(days):
        raise ValueError(
            f"there are {len(days)} days from {FIRST_YEAR} to {LAST_YEAR}; asked for {num_pairs}"
        )
    writer = Writer("dates", seed)
    pairs = [
        write_day(writer, datetime.date.fromordinal(day)) for day in writer.sample(days, num_pairs)
    ]
    return corpora.split("dates", pairs, seed=seed)


def write_day(writer, date):
    """A day by its own date or, now and then, by that of the day before or behind it."""
    if not writer.chance(0.08):
        return write_date(writer, date)
    words, distance = writer.pick(DISTANCES)
    other = date - datetime.timedelta(days=distance)
    if not FIRST_YEAR <= other.year <= LAST_YEAR:
        return write_date(writer, date)
    words = words.split()
    pair = write_date(writer, other)
    return corpora.Pair(
        (*words, *pair.source),
        tuple(date.isoformat()),
        (*((0, j) for j in _DAY), *((len(words) + i, j) for i, j in pair.alignment)),
    )


def write_date(writer, date):
    """A date in one of the ways of `DATE_FORMATS`, as a `corpora.Pair`."""
    day, month = date.day, MONTHS[date.month - 1]
    year = [(digit, (i,)) for digit, i in zip(str(date.year), _YEAR)]
    suffix = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    fields = {
        "ordinal": [(ORDINALS[day - 1], _DAY)],
        "suffix": [(suffix, ())],
        "month": [(month, _MONTH)],
        "mon": [(month[:3], _MONTH)],
        "d": _digits(str(day), _DAY),
        "dd": _digits(f"{day:02}", _DAY),
        "m": _digits(str(date.month), _MONTH),
        "mm": _digits(f"{date.month:02}", _MONTH),
        "year": year,
        "yy": [(year[2][0], (0, 1, 2)), year[3]],  # the third digit decides the century too
    }
    pieces = []
    if writer.chance(0.3):
        weekday = WEEKDAYS[date.weekday()]
        pieces = [(writer.pick((weekday, weekday[:3])), ()), (",", ())]
    for part in writer.pick(DATE_FORMATS).split():
        pieces += fields[part[1:-1]] if part.startswith("{") else [(part, ())]
    return corpora.Pair(
        tuple(token for token, _ in pieces),
        tuple(date.isoformat()),
        tuple((i, j) for i, (_, links) in enumerate(pieces) for j in links),
    )


def _digits(text, links):
    """Digits and the digits of the answer that they decide: '5' decides both of '05'."""
    return [(text, links)] if len(text) == 1 else [(d, (j,)) for d, j in zip(text, links)]


# Summaries --------------------------------------------------------------------------------------


class Report(NamedTuple):
    """A kind of report: how it begins, what else the headline needs, the headline, the rest."""

    openings: tuple
    facts: tuple
    headline: str
    details: tuple


MATCH_OPENINGS = ("{town} met {guest} on {weekday} .", "on {weekday} {town} played {guest} .")
MATCH_DETAILS = (
    "{figure} people watched .",
    "{bystander} scored first .",
    "{bystander} was hurt .",
    "it {weather} .",
)
# A headline keeps who, what, where, and the number that says what it meant to people. It drops the
# day, the weather, the costs, and everybody who only stood by.
REPORTS = (
    Report(
        MATCH_OPENINGS,
        ("the hosts won {high} to {low} .", "the guests lost {low} to {high} ."),
        "{town} beats {guest} {high} : {low}",
        MATCH_DETAILS,
    ),
    Report(
        MATCH_OPENINGS,
        ("the guests won {high} to {low} .", "the hosts lost {low} to {high} ."),
        "{guest} beats {town} {high} : {low}",
        MATCH_DETAILS,
    ),
    Report(
        ("a {disaster} hit {town} on {weekday} .", "on {weekday} {town} had a {disaster} ."),
        ("{number} people were hurt .", "doctors treated {number} people ."),
        "{disaster} in {town} : {number} hurt",
        (
            "{figure} cars were lost .",
            "it lasted {figure} hours .",
            "{bystander} saw it .",
            "help came from {elsewhere} .",
        ),
    ),
    Report(
        ("on {weekday} {town} chose {name} as {office} .", "{name} is {office} of {town} ."),
        ("{number} people voted for the winner .", "the winner got {number} votes ."),
        "{name} wins {town} with {number} votes",
        (
            "{bystander} got {figure} votes .",
            "{bystander} retires .",
            "{figure} papers were empty .",
            "it {weather} .",
        ),
    ),
    Report(
        ("{name} opens a {firm} in {town} .", "the {firm} of {name} moves to {town} ."),
        ("it gives work to {number} people .", "{number} people find work there ."),
        "{name} brings {number} jobs to {town}",
        (
            "it cost {figure} million .",
            "{bystander} drew the plans .",
            "{bystander} came on {weekday} .",
            "{elsewhere} gets nothing .",
        ),
    ),
)
CHOICES = {
    "weekday": WEEKDAYS,
    "disaster": ("storm", "fire", "flood", "quake", "landslide", "blackout"),
    "office": ("mayor", "judge", "sheriff", "treasurer"),
    "firm": ("bakery", "factory", "brewery", "shipyard", "theater", "bank"),
    "weather": ("rained", "snowed", "was warm", "was windy", "was foggy"),
}


def summaries(num_pairs: int = 8000, seed: int = 0) -> corpora.ParallelCorpus:
    """Write short reports and their headlines.

    A report has one sentence that says what happened, one with the fact that the headline needs
    besides, and one to three details, in an order that varies; some details mention other people
    and other numbers. A headline of a match names the winner first, whoever is named first in the
    report. The alignment links each name and number of the headline to where it is copied from.

    Args:
        num_pairs: number of reports.
        seed: integer that decides them and the split. The same seed gives the same corpus on every
            machine.

    Returns:
        `corpora.ParallelCorpus`.

    Raises:
        ValueError: if there are not that many different reports.
    """
    writer = Writer("summaries", seed)
    pairs = _distinct(lambda: write_report(writer), num_pairs, "reports")
    return corpora.split("summaries", pairs, seed=seed)


def write_report(writer):
    """A report and its headline, as a `corpora.Pair`."""
    report = writer.pick(REPORTS)
    town, guest = writer.sample(TOWNS, 2)
    low = writer.number(0, 8)
    facts = {
        "town": town,
        "guest": guest,
        "name": writer.pick(NAMES),
        "number": str(writer.number(10, 59)),
        "low": str(low),
        "high": str(writer.number(low + 1, 9)),
    }
    opening, fact = writer.pick(report.openings), writer.pick(report.facts)
    details = writer.sample(report.details, writer.number(1, 3))
    place = writer.number(0, len(details))
    source, origin = [], {}
    for sentence in (opening, *details[:place], fact, *details[place:]):
        drawn = {name: writer.pick(options) for name, options in CHOICES.items()}
        if sentence is opening:
            facts["disaster"] = drawn["disaster"]
        drawn |= facts
        drawn["figure"] = _other(lambda: str(writer.number(10, 59)), facts.values())
        drawn["bystander"] = _other(lambda: writer.pick(NAMES), facts.values())
        drawn["elsewhere"] = _other(lambda: writer.pick(TOWNS), facts.values())
        for word in sentence.split():
            origin.setdefault(word, len(source))
            source += drawn[word[1:-1]].split() if word.startswith("{") else [word]
    headline = report.headline.split()
    return corpora.Pair(
        tuple(source),
        tuple(facts[word[1:-1]] if word.startswith("{") else word for word in headline),
        tuple((origin[word], j) for j, word in enumerate(headline) if word.startswith("{")),
    )


def _other(draw, excluded):
    """Draw until it is none of those."""
    while (drawn := draw()) in excluded:
        pass
    return drawn


# Questions --------------------------------------------------------------------------------------


class Topic(NamedTuple):
    """What can be said of a person, and asked: verbs, what they take, and the question."""

    verbs: tuple
    objects: tuple
    question: str


TOPICS = (
    Topic(("visited", "reached", "toured"), TOWNS, "where did {person} go last ?"),
    Topic(("bought", "found", "took"), GOODS, "what did {person} get last ?"),
    Topic(("met", "called", "saw"), NAMES, "whom did {person} meet last ?"),
    Topic(
        ("paid", "spent", "gave"),
        tuple(str(number) for number in range(10, 60)),
        "how much did {person} pay last ?",
    ),
)
OTHERS = ("friends", "neighbors", "strangers", "others")
PLACES = TOPICS[0]  # where a person may also have followed another
FOLLOWED, CHAINS = "followed", 0.12


def questions(num_pairs: int = 8000, seed: int = 0, named: float = 0.15) -> corpora.ParallelCorpus:
    """Write short texts of four to seven sentences, each with a question and its one-word answer.

    The question stands in front. It asks for one person's last place, thing, company or payment.
    What others did does not count, be it neighbors, strangers or another person with a name, and
    if somebody did a thing twice, the last time counts. One text in eight or so is a *chain*: the
    person asked for has last followed another, and is where that one was last before. Exactly one
    sentence holds the answer. The alignment links the answer to all words of that sentence, the
    *evidence*.

    Args:
        num_pairs: number of texts.
        seed: integer that decides them and the split. The same seed gives the same corpus on every
            machine.
        named: share of the texts without a chain in which the others have a name. In the rest of
            them they are neighbors or strangers, so that "last told of somebody with a name" is
            the answer.

    Returns:
        `corpora.ParallelCorpus`.

    Raises:
        ValueError: if there are not that many different texts.
    """
    writer = Writer("questions", seed)
    pairs = _distinct(lambda: write_question(writer, named), num_pairs, "texts")
    return corpora.split("questions", pairs, seed=seed)


def write_question(writer, named):
    """A text with its question, and the answer, as a `corpora.Pair`."""
    people = writer.sample(NAMES, 3)
    person = people[0]
    chained = writer.chance(CHAINS)
    if not chained:
        people[1:] = people[1:2] if writer.chance(named) else writer.sample(OTHERS, 2)
    text = []  # (who, topic, verb, object)
    while person not in [statement[0] for statement in text]:
        topics = writer.sample(TOPICS, writer.number(2, 3))
        text = [_statement(writer, people, topics) for _ in range(writer.number(4, 7))]
    asked = writer.pick([topic for who, topic, _, _ in text if who == person])
    last = max(i for i, statement in enumerate(text) if statement[:2] == (person, asked))
    if chained:
        asked, last = PLACES, _chain(writer, people, text)
    # The question first: the decoder starts from what the encoder has read last on its way back.
    source = asked.question.format(person=person).split()
    for who, _, verb, object in text:
        source += [who, verb, object, "."]
    start, end = sentence_spans(source)[1 + last]
    return corpora.Pair(tuple(source), (text[last][3],), tuple((i, 0) for i in range(start, end)))


def _chain(writer, people, text):
    """Change a text so that the first of its people has followed the second; returns where to."""
    person, other, *_ = people
    first, then = sorted(writer.sample(range(len(text)), 2))
    verb = writer.pick(PLACES.verbs)
    text[first] = other, PLACES, verb, writer.pick(PLACES.objects)
    text[then] = person, PLACES, FOLLOWED, other
    for i in range(first + 1, len(text)):  # nothing that would overrule one of the two
        while i != then and text[i][1] is PLACES and text[i][0] in (person, other):
            text[i] = _statement(writer, people, TOPICS)
    return first


def _statement(writer, people, topics):
    who = people[0] if writer.chance(0.5) else writer.pick(people)
    topic = writer.pick(topics)
    verb = writer.pick(topic.verbs)
    return who, topic, verb, _other(lambda: writer.pick(topic.objects), people)


def sentence_spans(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Where the sentences of a text begin and end.

    Args:
        tokens: sequence of tokens; sentences end in ".", "?" or "!".

    Returns:
        List of (start, end) for each sentence, such that `tokens[start:end]` is the sentence with
        its last sign. Tokens behind the last sign, such as <eos>, belong to none.
    """
    ends = [i + 1 for i, token in enumerate(tokens) if token in (".", "?", "!")]
    return list(zip([0, *ends], ends))


def evidence(pair: corpora.Pair) -> int:
    """The index of the sentence that holds the answer.

    Args:
        pair: a pair of `questions`.

    Returns:
        Integer, an index into `sentence_spans(pair.source)`.
    """
    first = min(i for i, _ in pair.alignment)
    return next(n for n, (start, end) in enumerate(sentence_spans(pair.source)) if first < end)
