"""The tasks' answers, found once more by readers that share no table with the writers."""

import calendar
import datetime
import hashlib
import re
from collections import Counter

import pytest

from d2l_ext import corpora, tasks

WRITERS = {"dates": tasks.dates, "summaries": tasks.summaries, "questions": tasks.questions}


@pytest.fixture(scope="module")
def made():
    """Each task's corpus as `load` would give it, by name."""
    return {name: write() for name, write in WRITERS.items()}


def words(text):
    return text.split()


def pairs_of(corpus):
    return [*corpus.train, *corpus.validation, *corpus.test]


# All tasks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_a_corpus_like_any_other(made, name):
    corpus = made[name]
    pairs = pairs_of(corpus)
    assert corpus.name == name
    assert [type(pair) for pair in pairs] == [corpora.Pair] * len(pairs)
    assert len({pair.source for pair in pairs}) == len(pairs)
    assert len(corpus.validation) == len(corpus.test) == round(0.05 * len(pairs))
    assert len(corpus.src_vocab) < 420 and len(corpus.tgt_vocab) < 420
    assert max(len(side) for pair in pairs for side in pair[:2]) < corpus.max_steps <= 36
    for pair in [*corpus.validation, *corpus.test]:  # nothing in them is unknown
        assert all(token in corpus.src_vocab for token in pair.source)
        assert all(token in corpus.tgt_vocab for token in pair.target)
    batch = next(corpus.batches("test", 8))
    assert batch.src.shape[0] == 8


@pytest.mark.parametrize("name", WRITERS)
def test_the_seed_decides_everything(name):
    write = WRITERS[name]
    first, again, other = write(300), write(300), write(300, seed=1)
    assert first == again
    assert len(set(pairs_of(first)) & set(pairs_of(other))) < 30
    assert len(pairs_of(write(60))) == 60


DIGESTS = {
    "dates": "a157fe0c9f186a51",
    "summaries": "cf30c37e15aa351d",
    "questions": "5bfe1e2adae77596",
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_on_every_machine(name):
    corpus = WRITERS[name](500)
    splits = [list(part) for part in (corpus.train, corpus.validation, corpus.test)]
    text = repr([*splits, corpus.src_vocab.tokens])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize("name", WRITERS)
def test_splits_look_alike(made, name):
    """The split has nothing to do with what is in the pairs, such as an early or a late year."""
    corpus = made[name]
    frequent = [
        token for token, _ in Counter(t for p in corpus.train for t in p.source).most_common(40)
    ]
    for token in frequent:
        train, test = (
            sum(token in pair.source for pair in part) / len(part)
            for part in (corpus.train, corpus.test)
        )
        assert abs(train - test) < 0.12, token


def test_too_many():
    with pytest.raises(
        ValueError, match="there are 25567 days from 1970 to 2039; asked for 25568"
    ):
        tasks.dates(25568)
    writes = iter(["a", "b", "a", *"b" * 10_000])
    with pytest.raises(ValueError, match="cannot write 3 different texts: gave up after 2"):
        tasks._distinct(lambda: corpora.Pair((next(writes),), ("x",)), 3, "texts")


# Dates ------------------------------------------------------------------------------------------

UNITS = words("zeroth first second third fourth fifth sixth seventh eighth ninth")
TEENS = words("""
    tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth
    nineteenth
""")


def day_of(text):
    """'3', '03', '3 rd' or 'twenty-third' as a number."""
    if text[0].isdigit():
        digits = re.match(r"\d+", text)[0]
        if " " in text:
            last = int(digits) % 10 if int(digits) not in (11, 12, 13) else 0
            assert text.split()[1] == {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
        return int(digits)
    tens = {"thirtieth": 30, "twentieth": 20, "thirty-first": 31}
    if text in tens:
        return tens[text]
    if text.startswith("twenty-"):
        return 20 + UNITS.index(text.removeprefix("twenty-"))
    return UNITS.index(text) if text in UNITS else 10 + TEENS.index(text)


def month_of(text):
    if text.isdigit():
        return int(text)
    names = [name.lower() for name in calendar.month_name]
    return names.index(text) if text in names else [name[:3] for name in names].index(text)


def year_of(text):
    year = int(text)
    if len(text) == 4:
        return year
    return year + (2000 if year < 40 else 1900)


DAY = r"(?P<day>\d\d?|\d\d? \w\w|[\w-]+th|[\w-]*(first|second|third))"
MONTH, NUMBER = r"(?P<month>[a-z]+)", r"(?P<month>\d\d?)"
YEAR, ANY_YEAR = r"(?P<year>\d{4})", r"(?P<year>\d{2}|\d{4})"
SHAPES = [
    rf"the {DAY} of {MONTH} (, )?{YEAR}",
    rf"{DAY} (of )?{MONTH} {YEAR}",
    rf"{MONTH} (\. )?(the )?{DAY} (, )?{YEAR}",
    rf"{DAY} {MONTH} ' (?P<year>\d\d)",
    rf"{DAY} - {MONTH} - (?P<year>\d\d)",
    rf"(?P<day>\d\d?) \. {NUMBER} \. {ANY_YEAR}",
    rf"{NUMBER} / (?P<day>\d\d?) / {ANY_YEAR}",
    rf"{YEAR} (?P<sign>[/.]) {NUMBER} (?P=sign) (?P<day>\d\d?)",
]


def readings(source):
    """All days that this can mean, and the weekday in front, or None."""
    told, text = re.fullmatch(r"(yesterday was |tomorrow is )?(.*)", " ".join(source)).groups()
    distance = datetime.timedelta(days={"y": 1, "t": -1}[told[0]] if told else 0)
    weekday = re.match(r"(\w+) , ", text)
    if weekday and weekday[1][:3] in [day.lower() for day in calendar.day_abbr]:
        text = text[weekday.end() :]
    else:
        weekday = None
    text = re.sub(r"(?<=\d) (?=\d)", "", text)
    found = filter(None, (re.fullmatch(shape, text) for shape in SHAPES))
    dates = {
        datetime.date(year_of(match["year"]), month_of(match["month"]), day_of(match["day"]))
        + distance
        for match in found
    }
    return dates, weekday and weekday[1]


def test_dates_are_right_and_unambiguous(made):
    weekdays = 0
    for pair in pairs_of(made["dates"]):
        dates, weekday = readings(pair.source)
        assert [date.isoformat() for date in dates] == ["".join(pair.target)], pair.source
        if weekday is not None:
            (date,) = dates
            date += datetime.timedelta(days={"y": -1, "t": 1}.get(told(pair), 0))
            assert weekday in (date.strftime("%A").lower(), date.strftime("%a").lower())
            weekdays += 1
    assert 0.2 < weekdays / len(pairs_of(made["dates"])) < 0.4


def test_no_date_is_in_two_splits(made):
    targets = [pair.target for pair in pairs_of(made["dates"])]
    assert len(set(targets)) == len(targets)


def test_every_way_of_writing_is_there_often(made):
    def shape(source):
        text = re.sub("^(yesterday was|tomorrow is) ", "", " ".join(source))
        text = re.sub(r"^[a-z]+ , ", "", text)
        text = re.sub("|".join(f"{m[:3]}({m[3:]})?" for m in tasks.MONTHS), "M", text)
        text = re.sub("|".join(sorted(tasks.ORDINALS, key=len, reverse=True)), "O", text)
        text = re.sub(r"\b(st|nd|rd|th)\b", "S", text)
        return re.sub(r"\d( \d)*", "9", text)

    counts = Counter(shape(pair.source) for pair in pairs_of(made["dates"]))
    assert min(counts.values()) > 100
    assert len(counts) == 13  # of 21: some differ in digits or in how the month is written


def test_links_of_a_date():
    writer = tasks.Writer("test", 0)
    seen = set()
    for _ in range(300):
        pair = tasks.write_date(writer, datetime.date(2021, 5, 3))
        links = {j: [pair.source[i] for i, k in pair.alignment if k == j] for j in range(10)}
        assert links[4] == links[7] == []
        assert links[3] == ["1"] and links[2] == ["2"]
        assert links[0] == ["2"] and links[1] in (["0"], ["2"])
        assert (links[5], links[6]) in [(["may"], ["may"]), (["5"], ["5"]), (["0"], ["5"])]
        assert (links[8], links[9]) in [(["third"], ["third"]), (["3"], ["3"]), (["0"], ["3"])]
        seen.add(pair.source)
    assert len(seen) > 40


def told(pair):
    """The first letter of 'yesterday was' or 'tomorrow is', or "" for a day by its own date."""
    return pair.source[0][0] if pair.source[1] in ("was", "is") else ""


def test_some_days_are_told_by_their_neighbors(made):
    pairs = pairs_of(made["dates"])
    counts = Counter(map(told, pairs))
    for neighbor in "yt":
        assert 0.03 < counts[neighbor] / len(pairs) < 0.05
    for pair in filter(told, pairs):
        assert pair.alignment[:2] == ((0, 8), (0, 9))  # the first word decides the day, too


def test_date_tokens():
    assert tasks.date_tokens("Mon, the Twenty-third of May, 2021") == (
        words("mon , the twenty-third of may , 2 0 2 1")
    )
    assert tasks.date_tokens("3.5.21, 3rd of May '21") == (
        words("3 . 5 . 2 1 , 3 rd of may ' 2 1")
    )
    for pair in tasks.dates(300).train:
        assert tasks.date_tokens(" ".join(pair.source)) == list(pair.source)


# Summaries --------------------------------------------------------------------------------------


def headline_of(source):
    """Read a report as a person would, and write the headline."""
    text = " ".join(source)

    def first(*patterns):
        (found,) = [m for p in patterns if (m := re.search(p, text))]
        return found.groupdict()

    day = "|".join(day.lower() for day in calendar.day_name)
    if " met " in text or " played " in text:
        teams = first(
            rf"(?P<a>\w+) met (?P<b>\w+) on ({day}) \.",
            rf"on ({day}) (?P<a>\w+) played (?P<b>\w+) \.",
        )
        score = first(r"the (?P<side>\w+) (?P<verb>won|lost) (?P<one>\d) to (?P<two>\d) \.")
        hosts_won = (score["side"] == "hosts") == (score["verb"] == "won")
        winner, loser = (teams["a"], teams["b"]) if hosts_won else (teams["b"], teams["a"])
        high, low = sorted((int(score["one"]), int(score["two"])), reverse=True)
        return f"{winner} beats {loser} {high} : {low}"
    if " hit " in text or " had a " in text:
        what = first(
            rf"a (?P<what>\w+) hit (?P<town>\w+) on ({day}) \.",
            rf"on ({day}) (?P<town>\w+) had a (?P<what>\w+) \.",
        )
        hurt = first(r"(?P<n>\d+) people were hurt \.", r"doctors treated (?P<n>\d+) people \.")
        return f"{what['what']} in {what['town']} : {hurt['n']} hurt"
    if "votes" in text or "voted" in text:
        who = first(
            rf"on ({day}) (?P<town>\w+) chose (?P<name>\w+) as \w+ \.",
            r"(?P<name>\w+) is \w+ of (?P<town>\w+) \.",
        )
        votes = first(
            r"(?P<n>\d+) people voted for the winner \.", r"the winner got (?P<n>\d+) votes \."
        )
        return f"{who['name']} wins {who['town']} with {votes['n']} votes"
    who = first(
        r"(?P<name>\w+) opens a \w+ in (?P<town>\w+) \.",
        r"the \w+ of (?P<name>\w+) moves to (?P<town>\w+) \.",
    )
    jobs = first(r"it gives work to (?P<n>\d+) people \.", r"(?P<n>\d+) people find work there \.")
    return f"{who['name']} brings {jobs['n']} jobs to {who['town']}"


def test_headlines_follow_from_the_reports(made):
    for pair in pairs_of(made["summaries"]):
        assert headline_of(pair.source) == " ".join(pair.target), pair.source
        assert 3 <= pair.source.count(".") <= 5
        assert pair.source[-1] == "."


FUNCTION_WORDS = {"beats", ":", "in", "hurt", "wins", "with", "votes", "brings", "jobs", "to"}


def test_links_of_a_headline_are_copies(made):
    for pair in pairs_of(made["summaries"]):
        linked = [j for _, j in pair.alignment]
        assert all(pair.source[i] == pair.target[j] for i, j in pair.alignment)
        assert [t for j, t in enumerate(pair.target) if j not in linked] == [
            t for t in pair.target if t in FUNCTION_WORDS
        ]
        assert len(linked) == len(set(linked))


def test_headlines_cannot_be_guessed(made):
    """No word that is to be copied is frequent, and the reports hold others of its kind."""
    pairs = pairs_of(made["summaries"])
    copied = Counter(pair.target[j] for pair in pairs for _, j in pair.alignment)
    digits = sum(n for token, n in copied.items() if len(token) == 1)
    names = {token: n for token, n in copied.items() if token in {*tasks.NAMES, *tasks.TOWNS}}
    assert digits and max(names.values()) < 0.05 * len(pairs)
    distracted = sum(
        sum(token.isdigit() for token in pair.source)
        > sum(token.isdigit() for token in pair.target)
        for pair in pairs
    )
    assert distracted > 0.3 * len(pairs)


def test_the_first_team_does_not_always_win(made):
    matches = [pair for pair in pairs_of(made["summaries"]) if "beats" in pair.target]
    swapped = sum(
        pair.source.index(pair.target[0]) > pair.source.index(pair.target[2]) for pair in matches
    )
    assert 0.4 < swapped / len(matches) < 0.6
    assert len(matches) > 0.3 * len(pairs_of(made["summaries"]))


# Questions --------------------------------------------------------------------------------------

VERBS = {
    r"where did (\w+) go last": {"visited", "reached", "toured"},
    r"what did (\w+) get last": {"bought", "found", "took"},
    r"whom did (\w+) meet last": {"met", "called", "saw"},
    r"how much did (\w+) pay last": {"paid", "spent", "gave"},
}


def solve(source):
    """The sentences of a text, and the indices of those that speak of what is asked, in order.

    Whoever has followed another is where that one was last, which then is the last of them.
    """
    question, *text = re.findall(r"[^.?]*[.?]", " ".join(source))
    text = [sentence.split()[:3] for sentence in text]
    ((person, verbs),) = [
        (match[1], verbs) for asked, verbs in VERBS.items() if (match := re.match(asked, question))
    ]
    verbs = verbs | ({"followed"} if "visited" in verbs else set())
    about = [i for i, (who, verb, _) in enumerate(text) if who == person and verb in verbs]
    _, verb, other = text[about[-1]]
    if verb == "followed":
        before = text[: about[-1]]
        about.append(
            max(i for i, (who, verb, _) in enumerate(before) if who == other and verb in verbs)
        )
        assert text[about[-1]][1] != "followed"
    return text, about


def test_answers_follow_from_the_texts(made):
    for pair in pairs_of(made["questions"]):
        text, about = solve(pair.source)
        assert 4 <= len(text) <= 7
        assert pair.target == (text[about[-1]][2],)
        assert tasks.evidence(pair) == about[-1] + 1  # sentence 0 is the question
        start, end = tasks.sentence_spans(pair.source)[about[-1] + 1]
        assert pair.alignment == tuple((i, 0) for i in range(start, end))
        assert list(pair.source[start : end - 1]) == text[about[-1]]


def test_answers_cannot_be_guessed(made):
    """Not by taking the first or the last sentence, nor by the kind of word that is asked for."""
    pairs = pairs_of(made["questions"])
    solved = [solve(pair.source) for pair in pairs]
    for guess in (0, -1):
        assert sum(about[-1] == range(len(text))[guess] for text, about in solved) < 0.45 * len(
            pairs
        )
    overruled = sum(len(about) > 1 for _, about in solved)
    assert overruled > 0.25 * len(pairs)
    # Somebody else does the same after the one who is asked for.
    misled = 0
    for text, about in solved:
        verbs = next(verbs for verbs in VERBS.values() if text[about[-1]][1] in verbs)
        misled += any(verb in verbs for _, verb, _ in text[about[-1] + 1 :])
    assert misled > 0.15 * len(pairs)
    answers = Counter(pair.target for pair in pairs)
    assert max(answers.values()) < 0.02 * len(pairs)
    chains = sum(text[about[-2]][1] == "followed" for text, about in solved if len(about) > 1)
    assert 0.09 < chains / len(pairs) < 0.15
    others = {who for text, about in solved for who, _, _ in text if who != text[about[0]][0]}
    assert {*tasks.OTHERS, "yuki"} <= others


def test_sentence_spans():
    tokens = words("a b . c . who ? <eos>")
    assert tasks.sentence_spans(tokens) == [(0, 3), (3, 5), (5, 7)]
    assert tasks.sentence_spans(["a"]) == tasks.sentence_spans([]) == []
