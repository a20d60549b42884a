"""What benchmarks have measured: shown as measured, and what the chapters say of it holds."""

import dataclasses
import json
import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    bottleneck,
    corpora,
    decoders,
    real_text,
    scaling,
    speed,
    spread,
    transformer,
    workers,
    write_table,
)
from d2l_ext.corpora import Pair, ParallelCorpus, Vocab, pad_batch
from tests import frameworks, tiny

DECODERS = [*decoders.TRAININGS, *decoders.LIBRARIES]
REQUIREMENTS = Path(__file__).parents[1] / "requirements"


def pinned(library, version):
    pins = "".join(file.read_text() for file in REQUIREMENTS.glob("*.txt"))
    return re.search(rf"^{library}=={re.escape(version)}\b", pins, re.MULTILINE)


def rows(what):
    """{(decoder, input feeding): row} of what was measured."""
    return {(row["decoder"], row["input_feeding"]): row for row in decoders.results(what)["rows"]}


def test_chapters_show_what_was_measured():
    text = decoders.CHAPTER.read_text(encoding="utf-8")
    for what in DECODERS:
        (found,) = decoders.region(what).finditer(text)
        assert found[0] == f"{found[1]}{decoders.table(what)}\n", what
    text = bottleneck.CHAPTER.read_text(encoding="utf-8")
    (found,) = bottleneck.REGION.finditer(text)
    measured = json.loads(bottleneck.RESULTS.read_text(encoding="utf-8"))
    assert found[0] == f"{found[1]}{bottleneck.table(measured)}\n"
    assert pinned("torch", measured["version"])
    text = transformer.CHAPTER.read_text(encoding="utf-8")
    measured = json.loads(transformer.RESULTS.read_text(encoding="utf-8"))
    for what in transformer.TABLES:
        (found,) = transformer.region(what).finditer(text)
        assert found[0] == f"{found[1]}{transformer.table(measured, what)}\n", what
    assert pinned("torch", measured["version"])


@pytest.mark.parametrize("what", DECODERS)
def test_every_variant_was_measured_with_the_pinned_version(what):
    every, _, seeds = decoders.TRAININGS.get(what, (decoders.variants, None, ()))
    wanted = [(decoder, feeding) for decoder, feeding, *_ in every()]
    assert list(rows(what)) == wanted and len(wanted) == (10 if what == "longer" else 14)
    assert all(len(row["bleu"]) == len(seeds) for row in rows(what).values() if seeds)
    found = decoders.results(what)
    assert pinned(decoders.LIBRARIES[found["framework"]], found["version"])


def test_what_the_chapter_says_of_the_scores_holds():
    measured = rows("scores")
    long = {key: row["bleu_long"] for key, row in measured.items()}
    none = long.pop(("no attention", None))
    assert all(min(scores) > 2.5 * max(none) for scores in long.values())

    def apart(better, worse):
        return min(measured[better]["bleu"]) > max(measured[worse]["bleu"])

    concat = "global, concat", False
    assert apart(concat, ("Bahdanau", None))
    for score in ("dot", "general"):
        plain, scaled = (f"global, {score}", False), (f"global, {score}, scaled", False)
        assert apart(scaled, plain) and apart(concat, scaled)
    for name, feeding in measured:  # input feeding, and local against global
        if feeding:
            assert not apart((name, True), (name, False))
            assert not apart((name, False), (name, True))
        if name.startswith("local") and not feeding:
            assert not apart(("global, general", False), (name, False))


def test_what_the_chapter_says_of_longer_trainings_holds():
    measured = rows("longer")
    bleu = {key: row["bleu"] for key, row in measured.items()}
    long = {key: statistics.mean(row["bleu_long"]) for key, row in measured.items()}
    mean = {key: statistics.mean(found) for key, found in bleu.items()}

    def apart(better, worse):
        return min(bleu[better]) > max(bleu[worse])

    assert round(long.pop(("no attention", None))) == 46 and min(long.values()) > 81
    general, concat = ("global, general", False), ("global, concat", False)
    for score in ("dot", "general"):
        plain, scaled = (f"global, {score}", False), (f"global, {score}, scaled", False)
        assert apart(scaled, plain) and 3.5 < mean[scaled] - mean[plain] < 6.5
    scaled = "global, general, scaled", False
    assert not apart(concat, scaled) and not apart(scaled, concat)
    assert mean[concat] - mean["global, dot, scaled", False] == pytest.approx(1, abs=0.3)
    assert mean[concat] - mean["Bahdanau", None] == pytest.approx(0.5, abs=0.2)
    for name in ("local, monotonic", "local, predictive"):
        assert apart(general, (name, False)) and 1.9 < mean[general] - mean[name, False] < 3.5
    local = ("local, monotonic", False), ("local, predictive", False)
    for one, two in (local, (("global, general", True), general)):
        assert not apart(one, two) and not apart(two, one)


def test_a_chapter_without_the_table_is_refused(tmp_path):
    path = tmp_path / "07.md"
    path.write_text("# No table here\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has 0 tables like .*jax.*; expected 1"):
        write_table(path, decoders.region("jax"), "table")
    assert path.read_text(encoding="utf-8") == "# No table here\n"


def test_spread():
    assert spread([2.0, 1.0, 3.25]) == "2.1 (1.0–3.2)"
    assert spread([0.123], digits=2) == "0.12"
    assert spread([None, None]) == ""


# Speed -------------------------------------------------------------------------------------------

PAIRS = [Pair(("a", "b"), ("A",), None), Pair(("c",), ("B", "C", "D"), None)]


@pytest.fixture
def corpus():
    src, tgt = (Vocab.build([pair[side] for pair in PAIRS]) for side in (0, 1))
    return ParallelCorpus("two", PAIRS, PAIRS[:1], [], src, tgt, 9)


@pytest.mark.parametrize("bench", [speed, scaling], ids=["speed", "scaling"])
def test_a_page_shows_what_was_measured_with_the_pinned_versions(bench):
    result = json.loads(bench.RESULTS.read_text(encoding="utf-8"))
    assert bench.PAGE.read_text(encoding="utf-8") == bench.page(result)
    for part in result.values() if bench is speed else [result]:
        versions = part["machine"].rstrip(".").partition(" with ")[2].split(", ")
        assert len(versions) == 7
        for package, version in map(str.split, versions):
            assert pinned(package, version), package


def test_a_summary_is_made_of_medians(corpus, monkeypatch):
    monkeypatch.setattr(speed, "load", lambda name: corpus)
    repeats = [
        {
            speed.D2L: {"seconds": 10.0 * (i + 1), "pass": 2.0, "compilation": 0.0, "bleu": 1.0}
            | {"rate": 1e6 * (i + 1) ** 2, "loss": 0.5},
            "jax": {"seconds": 5.0, "pass": i + 1.0, "compilation": i, "bleu": 50.0 + i}
            | {"loss": 0.5 + i},
        }
        for i in range(3)
    ]
    figures = speed.summary(repeats, "two")["jax"]
    assert figures["times as fast as d2l"] == 4  # of 2, 4 and 6
    assert (figures["seconds"], figures["compilation"], figures["BLEU"]) == (5, 1, 51)
    assert figures["validation loss"] == 1.5
    assert figures["milliseconds a step"] == 2000  # both pairs fit into one batch
    assert figures["target tokens a second"] == (2 + 4) / 2
    work = speed.operations(corpus, speed.configuration(corpus))
    assert figures["share of the matrix rate"] == work / 2 / 4e6


def test_operations_by_hand(corpus):
    """One layer of 2 units, embeddings of 3, 8 target words; 5 source and 6 target tokens."""
    config = speed.configuration(corpus) | {"embed_size": 3, "num_hiddens": 2, "num_layers": 1}
    assert config["tgt_vocab_size"] == 8
    encoder = (3 + 2) * 6 + 2 * 2
    decoder = 2 * 2 + (2 + 3 + 2) * 6 + 2 * 8
    attention = (3 * 2 + 2 * 4) * (2 + 2)  # scores and averages of all pairs of tokens
    assert speed.operations(corpus, config) == 6 * (5 * encoder + 6 * decoder + attention)
    deeper = speed.operations(corpus, config | {"num_layers": 2})
    assert deeper - speed.operations(corpus, config) == 6 * (5 + 6) * (2 + 2) * 6


def test_the_products_do_the_operations(corpus, monkeypatch):
    """Counted instead of timed, the products are all that `operations` counts, but attention's."""
    monkeypatch.setattr(speed, "product_seconds", lambda _, *sizes: 2 * math.prod(sizes))
    pairs = [Pair(("a", "c"), ("A", "B", "C"), None)] * 3  # no padding
    corpus = dataclasses.replace(corpus, train=pairs)
    config = speed.configuration(corpus)
    attention = 3 * (3 * 4) * 2 * config["num_hiddens"]
    expected = speed.operations(corpus, config) - 6 * attention
    assert speed.all_products(None, corpus, config) == expected


def test_jax_trains_without_a_cache_and_then_with_what_is_left_there(corpus, monkeypatch):
    found = []

    def in_own_process(module, contestant, *options, XDG_CACHE_HOME):
        cache = Path(XDG_CACHE_HOME)
        found.append((contestant, [path.name for path in cache.iterdir()]))
        (cache / contestant).touch()
        return {"seconds": 1.0, "compilation": 0.0, "pass": 1.0, "loss": 1.0, "bleu": 1.0} | {
            "rate": 1.0,
            "products": 1.0,
            "gpu": None,
        }

    monkeypatch.setattr(speed, "load", lambda name: corpus)
    monkeypatch.setattr(speed.benchmarks, "in_own_process", in_own_process)
    monkeypatch.setattr("sys.argv", ["speed", "--framework", "jax", "--repeats", "2"])
    speed.main()
    once = [(speed.D2L, []), ("jax", [speed.D2L]), (speed.AGAIN, [speed.D2L, "jax"])]
    assert [(contestant, sorted(names)) for contestant, names in found] == once * 2


@pytest.mark.parametrize("contestant", speed.LIBRARIES)
def test_a_long_translation_makes_all_its_steps(contestant, monkeypatch):
    if contestant not in {framework.name for framework in frameworks.UNDER_TEST}:
        pytest.skip("FRAMEWORK is another")
    monkeypatch.setattr(scaling, "LONG", 4)
    monkeypatch.setattr(scaling, "SENTENCES", 2)
    found = scaling.long_translation(contestant)()
    assert [len(translation.tokens) for translation in found] == [4, 4]


def test_settings_vary_one_thing_at_a_time():
    for setting in scaling.LABELS.values():
        assert sum(setting[name] != scaling.BASE[name] for name in scaling.BASE) <= 1
        batch = scaling.random_batch(setting["length"], setting["batch"])
        assert batch.src.shape == (setting["batch"], setting["length"])
        assert (batch.src_valid_len == setting["length"]).all()


@pytest.fixture(scope="module")
def book():
    if frameworks.FRAMEWORKS["pytorch"] not in frameworks.UNDER_TEST:
        pytest.skip("d2l's model is PyTorch's")
    from benchmarks import d2l_torch

    return d2l_torch


def test_mixed_precision_is_near_float32_and_rounds():
    if frameworks.FRAMEWORKS["pytorch"] not in frameworks.UNDER_TEST:
        pytest.skip("mixed precision is PyTorch's")
    d2l = frameworks.FRAMEWORKS["pytorch"].d2l
    model = d2l.new_model(tiny.config("attention", 2, bidirectional=False))
    batch = scaling.random_batch(5, 3)
    given = d2l.tensors(model, batch.src % 9, batch.src_valid_len, batch.tgt_in % 9)
    with d2l.inference(model):
        expected, _ = map(d2l.to_numpy, model(*given))
        speed.mixed_precision(model)
        found, _ = map(d2l.to_numpy, model(*given))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert abs(found - expected).max() > 1e-5


def test_the_book_s_model_gets_the_same_pairs(book, corpus):
    batch = pad_batch(PAIRS, corpus.src_vocab, corpus.tgt_vocab)
    src, tgt_in, lens, tgt_out = book.padded(PAIRS, corpus, 9)
    for mine, theirs in ((src, batch.src), (tgt_in, batch.tgt_in), (tgt_out, batch.tgt_out)):
        assert mine.shape == (2, 9)
        np.testing.assert_array_equal(mine[:, : theirs.shape[1]], theirs)
        assert (mine[:, theirs.shape[1] :] == corpus.src_vocab.pad).all()
    np.testing.assert_array_equal(lens, batch.src_valid_len)


def test_the_book_s_model_is_the_same_model(book):
    """From equal weights, the same logits for sentences of full length, and the same loss."""
    torch, d2l = book.torch, frameworks.FRAMEWORKS["pytorch"].d2l
    config = tiny.config("attention", 2, bidirectional=False)
    ours, theirs = d2l.new_model(config), book.new_model(config, lr=0.01).eval()
    src, tgt_in = scaling.random_batch(5, 3).src % 9, scaling.random_batch(5, 3).tgt_in % 9
    lens = np.full(3, 5, np.int32)
    given = [torch.tensor(array, dtype=torch.int64) for array in (src, tgt_in, lens)]
    theirs(*given)  # finds the sizes of its lazy layers
    weights = {name: weight.data for name, weight in d2l.named_weights(ours).items()}
    with torch.no_grad():
        for layer in range(2):
            for part, name in (("x", "ih"), ("h", "hh")):
                for kind in ("weight", "bias"):
                    for side, rnn in (
                        ("encoder", theirs.encoder.rnn.rnn),
                        ("decoder", theirs.decoder.rnn),
                    ):
                        ours_is = weights.pop(f"{side}.gru.{layer}.{kind[0]}_{part}")
                        getattr(rnn, f"{kind}_{name}_l{layer}").copy_(ours_is)
        for name, layer in (
            ("encoder.embedding", theirs.encoder.embedding),
            ("decoder.embedding", theirs.decoder.embedding),
            ("decoder.attention.w_q", theirs.decoder.attention.W_q),
            ("decoder.attention.w_k", theirs.decoder.attention.W_k),
            ("decoder.attention.w_v", theirs.decoder.attention.w_v),
            ("decoder.dense.w", theirs.decoder.dense),
        ):
            layer.weight.copy_(weights.pop(name))
        theirs.decoder.dense.bias.copy_(weights.pop("decoder.dense.b"))
        assert not weights
        found = theirs(*given)
    expected, _ = d2l.teacher_forcing(ours, src, lens, tgt_in)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    labels = torch.tensor(np.maximum(tgt_in, 2), dtype=torch.int64)
    labels[0, 3:] = 1  # padding does not count
    expected = d2l.masked_loss(found, labels, torch.tensor([3, 5, 5]))
    np.testing.assert_allclose(theirs.loss(found, labels), expected, rtol=1e-6)


def chapter(number):
    (path,) = (speed.PAGE.parents[1] / "notebooks").glob(f"{number}_*.md")
    return " ".join(path.read_text(encoding="utf-8").split())


def test_chapter_04_quotes_the_bottleneck_table():
    found = json.loads(bottleneck.RESULTS.read_text(encoding="utf-8"))["rows"]
    (small,) = (r for r in found if (r["decoder"], r["units"]) == ("no attention", 32))
    long = f"from fourteen tokens on {spread(small['long'])}"
    assert long.replace(" (", ", between ").replace("–", " and ") in chapter("04")
    assert f"a mean BLEU of {np.mean(small['short']):.1f})" in chapter("04")


def test_chapter_07_quotes_the_trainings_of_general():
    row = rows("scores")["global, general", False]
    pairs = sorted(zip(row["bleu"], row["aer"]))
    assert [aer for _, aer in pairs] == sorted(row["aer"])
    for quoted in zip(*pairs):
        digits = 1 if quoted[0] > 1 else 2
        numbers = (f"{number:.{digits}f}" for number in quoted)
        assert f"| {' | '.join(numbers)} |" in chapter("07")


# Large corpora -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large():
    """What `make bench-corpora` has measured."""
    return json.loads(corpora.RESULTS.read_text(encoding="utf-8"))


def test_the_page_of_large_corpora_shows_what_was_measured(large):
    assert corpora.PAGE.read_text(encoding="utf-8") == corpora.page(large)
    assert [*large["runs"]] == [str(size) for size in corpora.SIZES]
    assert all(len(runs) == large["repeats"] for runs in large["runs"].values())
    versions = large["machine"].rstrip(".").partition(" with ")[2].split(", ")
    assert all(pinned(*version.split()) for version in versions) and len(versions) == 2


def test_a_million_pairs_meet_the_targets_and_what_they_take_grows_along_a_line(large):
    rows = {size: corpora.row(large["runs"][str(size)]) for size in corpora.SIZES}
    assert corpora.missed(rows[1_000_000]) == []
    cached = [size for size in corpora.SIZES if rows[size]["cached"]]
    for figure in corpora.GROWING:
        *_, off = corpora.line(cached, [rows[size][figure] for size in cached])
        assert off < 0.25, figure


def test_targets_are_missed_on_their_own_side():
    assert corpora.missed({"first": 90, "later": 3, "peak": 600, "rate": 300_000}) == []
    found = {"first": 91, "later": 2, "peak": 601, "rate": 299_999}
    assert corpora.missed(found) == ["first", "peak", "rate"]


def test_a_line_through_exact_figures():
    start, slope, off = corpora.line([1e5, 3e5, 1e6], [3.0, 5.0, 12.0])
    assert (start, slope) == pytest.approx((2, 1e-5)) and off < 1e-9


def test_repeated_pairs_differ_and_load(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("Go.\tVa !\tCC-BY\nno pair\nRun!\tCours !\n", encoding="utf-8")
    lines = list(corpora.repeated(corpora.read(path), 40))
    assert lines[:3] == ["Go. 0\tVa ! 0\n", "Run! 1\tCours ! 1\n", "Go. 2\tVa ! 2\n"]
    assert len(set(lines)) == 40
    path.write_text("".join(lines), encoding="utf-8")
    found = corpora.loads(path)
    assert found["cached"] == 0  # too small
    first, later = found["first"], found["later"]
    assert first["tokens"] == later["tokens"] > 2 * 40 * 3
    assert first["seconds"] > 0 and first["peak"] > 10 and later["rate"] > 0


# Several workers --------------------------------------------------------------------------------


def test_every_killed_worker_was_named_and_every_training_ended_as_undisturbed():
    assert scaling.PAGE.read_text(encoding="utf-8").rstrip().endswith(workers.section().rstrip())
    measured = json.loads(workers.RESULTS.read_text(encoding="utf-8"))
    assert [*measured["runs"]] == [*decoders.LIBRARIES] and measured["kills"] == 10
    for run in measured["runs"].values():
        killed = run["killed"]
        assert len(killed["seconds"]) == killed["named"] == 10 and killed["left"] == 0
        assert max(killed["seconds"]) < 60 and killed["off"] < 1e-4


# Real sentences ----------------------------------------------------------------------------------


def test_examples_are_the_best_and_the_worst():
    texts = [(f"this is sentence number {i} here", "a" * i, "a" * 12) for i in range(12)]
    good, bad = real_text.examples([("too short", "aa", "aa"), *texts])
    assert [sides[1] for sides in good] == ["a" * i for i in range(11, 6, -1)]
    assert [len(sides[1]) for sides in bad] == [0, 1, 2, 3, 4]


def test_a_file_of_pairs_is_found_or_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds 0 files fra\.txt; expected 1"):
        real_text.find(tmp_path, "fra.txt")
    (tmp_path / "fra").mkdir()
    path = tmp_path / "fra" / "fra.txt"
    path.write_text("Go.\tVa !\n", encoding="utf-8")
    assert real_text.find(tmp_path, "fra.txt") == path


@pytest.fixture(scope="module")
def real():
    return json.loads(real_text.RESULTS.read_text(encoding="utf-8"))


def test_the_page_of_real_sentences_shows_every_training(real):
    assert real_text.PAGE.read_text(encoding="utf-8") == real_text.page(real)
    assert sorted(real) == sorted(real_text.trainings())
    for key, row in real.items():
        assert pinned(decoders.LIBRARIES[key.split()[0]], row["version"]), key
        assert len(row["losses"]) == real_text.NUM_EPOCHS
        assert row["losses"][-1][1] < row["losses"][0][1] - 0.3, key  # held-out loss
        assert row["beam"]["chrf"] > 10


@pytest.mark.parametrize("search", ["greedy", "beam"])
@pytest.mark.parametrize("direction", real_text.DIRECTIONS)
def test_the_frameworks_learn_real_sentences_alike(real, direction, search):
    """No further from PyTorch's seeds than these are from each other, or than 2 BLEU."""
    seeds = [real[f"pytorch {direction} {seed}"][search]["bleu"] for seed in real_text.SEEDS]
    slack = max(2, max(seeds) - min(seeds))
    for framework in decoders.LIBRARIES:
        found = real[f"{framework} {direction} 0"][search]["bleu"]
        assert min(seeds) - slack <= found <= max(seeds) + slack, framework
