"""`python -m d2l_ext`: training, translating and describing models from the shell."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from d2l_ext import __main__ as command_line
from d2l_ext import common, corpora, weights
from tests import frameworks, processes, tiny

ALL = "'torch', 'mxnet', 'jax', 'tensorflow', 'keras'"
SMALL = ["--epochs=2", "--batch-size=64", "--embed-size=8", "--num-hiddens=12", "--max-steps=8"]
SENTENCES = ["the cat sleeps .", "", "is zyzzyva young ?"]
FIRST = frameworks.UNDER_TEST[0]  # where any framework will do


def run(*arguments):
    """Run a command in this process and return its exit status."""
    try:
        return command_line.main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse's way
        return end.code


# Runs a command, given as arguments, in a process that hears an interrupt even if its parent does
# not, as those that a shell has put into the background.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("d2l_ext", run_name="__main__")
"""


def start(*command, **options):
    """Start Python in a process of its own, with text to and from it."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=processes.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def the_error(capsys):
    """The only line that a command has written, which must be an error."""
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("d2l_ext: error: ")
    return line


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    """A few hundred pairs of the grammar in a file, to train in no time."""
    corpus = corpora.load(num_pairs=300, max_steps=8)
    pairs = [*corpus.train, *corpus.validation, *corpus.test]
    lines = [f"{' '.join(pair.source)}\t{' '.join(pair.target)}\n" for pair in pairs]
    path = tmp_path_factory.mktemp("corpus") / "pairs.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(framework, corpus_file, tmp_path_factory):
    """A file that `train` has written, barely trained, and what it has said."""
    path = tmp_path_factory.mktemp("trained") / f"{framework}.safetensors"
    out = io.StringIO()
    out.reconfigure = lambda **options: None
    with contextlib.redirect_stdout(out):
        arguments = ["--corpus", corpus_file, "--out", path, "--tokens=words", *SMALL]
        assert run("train", "--framework", framework, *arguments) == 0
    return path, out.getvalue()


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Files of random models, which need no framework: attention and plain."""
    folder = tmp_path_factory.mktemp("untrained")
    for kind in weights.KINDS:
        save(folder / f"{kind}.safetensors", kind)
    return folder


def save(path, kind):
    kind = ("general" if kind == "global" else kind, 1, True)
    config = tiny.config(*kind, dropout=0.25)
    weights.save(path, tiny.random_weights(*kind), config, tiny.SRC_VOCAB, tiny.TGT_VOCAB)


# Train ------------------------------------------------------------------------------------------


def test_any_language_from_two_files_and_back(framework, tmp_path, capsys):
    """Chinese in one file, English in another; the model's file alone translates, and draws."""
    english, chinese, out = (tmp_path / name for name in ("t.en", "t.zh", "m.safetensors"))
    english.write_text("".join(f"I have {n} books.\n" for n in range(120)) + "one side\n")
    chinese.write_text("".join(f"我有{n}本书。\n" for n in range(120)) + "\n")
    arguments = ["--corpus", english, chinese, "--reverse", "--bad-lines=skip", "--out", out]
    assert run("train", "--framework", framework, *arguments, *SMALL) == 0
    said = capsys.readouterr()
    assert re.search(r"BLEU \d+\.\d \(13a\), chrF \d+\.\d on 6 held-out", said.out)
    assert "1 bad lines were left out" in said.err and "line 121 has words in" in said.err
    _, _, src_vocab, tgt_vocab = weights.load(out)
    assert (src_vocab.kind, src_vocab.language, tgt_vocab.language) == ("subwords", "zh", "")
    page = tmp_path / "page.html"
    arguments = ["--framework", framework, "--max-steps=4", "--show-attention", page, out]
    assert run("translate", *arguments, "我有龘本书。") == 0
    said = capsys.readouterr()
    assert said.err == "" and len(said.out.splitlines()) == 1
    assert "龘" in page.read_text(encoding="utf-8")


def test_training_tells_how_it_goes(trained):
    path, out = trained
    corpus, first, second, bleu, file = out.splitlines()
    assert corpus.startswith("ParallelCorpus(pairs: train 270,")
    assert first.startswith("epoch 1/2: train loss") and second.startswith("epoch 2/2:")
    losses = [float(line.split("train loss ")[1].split(",")[0]) for line in (first, second)]
    assert losses[1] < losses[0] < 6
    assert re.fullmatch(r"BLEU \d+\.\d \(13a\), chrF \d+\.\d on 15 held-out sentences", bleu)
    assert file == f"{path}: {path.stat().st_size / 1000:.1f} kB"
    assert list(path.parent.iterdir()) == [path]


def test_options_reach_model_and_training(corpus_file, tmp_path, monkeypatch):
    given = []

    def train_seq2seq(model, corpus, *arguments, **options):
        model.src_vocab, model.tgt_vocab = corpus.src_vocab, corpus.tgt_vocab
        given.append((arguments, options))
        return [FIRST.d2l.EpochRecord(1.0, 1.0, 1.0)]

    monkeypatch.setattr(FIRST.d2l, "train_seq2seq", train_seq2seq)
    path = tmp_path / "model.safetensors"
    sizes = ["--embed-size=5", "--num-hiddens=6", "--num-layers=2", "--dropout=0.25"]
    training = ["--epochs=3", "--batch-size=7", "--lr=0.5", "--seed=4", "--warmup=9"]
    arguments = ["--corpus", corpus_file, "--num-pairs=60", "--max-steps=7", "--out", path]
    arguments += [*sizes, *training, "--no-bidirectional", "--kind=plain"]
    assert run("train", "--framework", FIRST, *arguments) == 0
    assert given == [((3, 7, 0.5), {"seed": 4, "warmup": 9, "checkpoint": None})]
    arrays, config, src_vocab, tgt_vocab = weights.load(path)
    corpus = corpora.load(corpus_file, num_pairs=60, max_steps=7, seed=4)
    assert (src_vocab, tgt_vocab) == (corpus.src_vocab, corpus.tgt_vocab)
    assert config == {
        "kind": "plain",
        "src_vocab_size": len(corpus.src_vocab),
        "tgt_vocab_size": len(corpus.tgt_vocab),
        "embed_size": 5,
        "num_hiddens": 6,
        "num_layers": 2,
        "dropout": 0.25,
        "bidirectional": False,
    }
    for name, array in weights.draw(config, 4).items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize(("kind", "warmup"), [("attention", 0), ("transformer", 200)])
def test_only_a_transformer_warms_up_unasked(corpus_file, tmp_path, monkeypatch, kind, warmup):
    given = []

    def learn(d2l, model, corpus, options):
        given.append(options.warmup)

    monkeypatch.setattr("d2l_ext.__main__._learn", learn)
    monkeypatch.setattr("d2l_ext.__main__._finish", lambda *_: None)
    arguments = ["--corpus", corpus_file, "--kind", kind, "--out", tmp_path / "m.safetensors"]
    assert run("train", "--framework", FIRST, *arguments) == 0
    assert given == [warmup]


@pytest.mark.parametrize(
    ("kind", "option", "message"),
    [
        ("attention", ["--heads", "4"], "--heads is an option of --kind transformer, not of att"),
        ("transformer", ["--score=dot"], "--score is an option of --kind global, not of transf"),
        ("global", ["--no-norm"], "--no-norm is an option of --kind transformer, not of global"),
    ],
)
def test_options_of_another_kind_are_refused(tmp_path, capsys, kind, option, message):
    path = tmp_path / "m.safetensors"
    assert run("train", "--framework", FIRST, "--kind", kind, *option, "--out", path) == 2
    assert message in capsys.readouterr().err


def test_a_transformer_goes_on_from_its_checkpoint(corpus_file, tmp_path, capsys):
    path, folder = tmp_path / "model.safetensors", tmp_path / "so-far"
    arguments = ["train", "--framework", FIRST, "--corpus", corpus_file, "--kind=transformer"]
    arguments += ["--epochs=2", "--batch-size=64", "--num-hiddens=12", "--max-steps=8"]
    arguments += ["--heads=3", "--ffn-num-hiddens=7", "--no-norm-first", "--warmup=2"]
    arguments += ["--checkpoint", folder, "--checkpoint-every=2", "--out", path]
    assert run(*arguments) == 0
    arrays, config, _, _ = weights.load(path)
    options = {"embed_size": 12, "num_heads": 3, "ffn_num_hiddens": 7, "norm_first": False}
    assert config["kind"] == "transformer" and config.items() >= options.items()
    assert "going on" not in capsys.readouterr().out
    assert run(*arguments, "--resume") == 0
    assert f"going on from {folder / 'checkpoint.safetensors'}" in capsys.readouterr().out
    for name, array in weights.load(path)[0].items():
        np.testing.assert_array_equal(arrays[name], array)
    assert run(*arguments, "--lr=0.5") == 2
    assert "of another training: lr is 0.005 there and 0.5 here" in capsys.readouterr().err
    for nowhere in ([], ["--checkpoint", tmp_path / "nowhere"]):
        assert run("train", "--framework", FIRST, "--resume", "--out", path, *nowhere) == 2
        assert "--resume: there is nothing to go on from" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


def test_options_of_luong_s_decoder_reach_the_model(corpus_file, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    arguments = ["--corpus", corpus_file, "--out", path, *SMALL, "--kind=global", "--score=dot"]
    arguments += ["--no-input-feeding", "--local=predictive", "--window=3", "--no-bidirectional"]
    assert run("train", "--framework", FIRST, *arguments) == 0
    _, config, _, _ = weights.load(path)
    options = {"score": "dot", "input_feeding": False, "local": "predictive", "window": 3}
    assert config["kind"] == "global" and config.items() >= options.items()
    capsys.readouterr()
    assert run("info", path) == 0
    said = "global decoder, score dot, input_feeding False, local predictive, window 3, "
    assert said in capsys.readouterr().out
    assert run("translate", path, "a cat", "--show-attention", tmp_path / "a.html") == 0


def test_a_loss_that_is_no_number_is_said(corpus_file, tmp_path, capsys, monkeypatch):
    history = [FIRST.d2l.EpochRecord(float("nan"), 1.0, 1.0)]
    monkeypatch.setattr(FIRST.d2l, "train_seq2seq", lambda *args, **options: history)
    arguments = ["--corpus", corpus_file, "--out", tmp_path / "m.safetensors", "--lr=99"]
    assert run("train", "--framework", FIRST, *arguments) == 2
    error = capsys.readouterr().err
    assert re.match(r"d2l_ext: error: the loss has become nan, .* rate below 99$", error)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_half_done(corpus_file, tmp_path):
    path = tmp_path / "model.safetensors"
    arguments = ["--corpus", corpus_file, "--out", path, *SMALL, "--epochs=10000"]
    training = start("-c", INTERRUPTIBLE, "train", "--framework", FIRST, *arguments)
    assert training.stdout.readline().startswith("ParallelCorpus")
    assert training.stdout.readline().startswith("epoch 1/10000")
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=60)
    assert (err, training.returncode) == ("d2l_ext: interrupted\n", 130)
    assert list(tmp_path.iterdir()) == []


def test_a_bar_shows_the_progress_on_a_terminal(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    corpus = command_line._WithProgress(tiny.corpus(), 2, seed=5)
    for seed in (5, 6):
        shapes = [batch.src.shape for batch in corpus.batches("train", 16, seed=seed)]
        assert shapes == [b.src.shape for b in tiny.corpus().batches("train", 16, seed=seed)]
        list(corpus.batches("validation", 16, shuffle=False))
    shown = terminal.getvalue()
    assert "epoch 1/2:   0%" in shown and "epoch 2/2:   0%" in shown and "/3" in shown
    assert "3/2" not in shown  # validation has no bar


# Translate --------------------------------------------------------------------------------------


def test_another_framework_gives_the_same_translations(framework, trained, tmp_path, capsys):
    """Here by arguments, there through a pipe, which gets nothing but the translations."""
    model, _ = trained
    page = tmp_path / "attention.html"
    here = ["--framework", framework, "--max-steps=6", "--beam=2", model]
    assert run("translate", *here, *SENTENCES, "--show-attention", page) == 0
    out, err = capsys.readouterr()
    first, empty, last = out.split("\n")[:-1]
    assert first and not empty and last

    text = page.read_text(encoding="utf-8")
    assert text.count("<section ") == 2  # the empty sentence has nothing to show
    for word in " ".join(SENTENCES).split():
        assert f">{word}</th>" in text

    ring = frameworks.UNDER_TEST
    other = ring[(ring.index(framework) + 1) % len(ring)]
    there = ["--framework", other, "--max-steps=6", "--beam=2", model]
    translating = start("-m", "d2l_ext", "translate", *there, stdin=subprocess.PIPE)
    piped = translating.communicate("\n".join(SENTENCES), timeout=60)
    assert (*piped, translating.returncode) == (out, err, 0)
    assert err == "d2l_ext: warning: sentence 3: not in the vocabulary, read as <unk>: zyzzyva\n"


@pytest.fixture
def fake_library(untrained, monkeypatch):
    """A library that translates letter by letter, to test what needs no framework."""

    class Library:
        max_steps = 128

        def load_model(self, path):
            return self

        def translate(self, model, sentences, beam_size, max_steps):
            results = []
            for sentence in sentences:
                source = [*sentence.split(), "<eos>"]
                target = sentence.upper().split()
                attention_weights = np.eye(len(target), len(source))
                results.append(common.Translation(target, -0.5, attention_weights, source, []))
            return results

    monkeypatch.setattr(command_line, "_library", lambda name: Library())


def test_attention_becomes_pictures(untrained, fake_library, tmp_path):
    model = untrained / "attention.safetensors"
    assert run("translate", model, "a b", "--show-attention", tmp_path / "one.png") == 0
    assert run("translate", "--show-attention", tmp_path / "n.png", model, "a", "", "b c d") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n-1.png", "n-3.png", "one.png"]
    sizes = [imread(tmp_path / name).shape for name in ("n-1.png", "one.png", "n-3.png")]
    assert sizes == sorted(sizes) and len(set(sizes)) == 3


def test_what_a_picture_lacks_is_one_line(untrained, fake_library, tmp_path, capsys):
    model, path = untrained / "attention.safetensors", tmp_path / "one.png"
    assert run("translate", model, "a \U000f0000 \U000f0001", "--show-attention", path) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("d2l_ext: warning: no installed font can draw \U000f0000, \U000f0001;")


@pytest.mark.parametrize("dash", [[], ["-"]])
def test_standard_input_is_read(untrained, fake_library, monkeypatch, capsys, dash):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a b\r\n\nc d\u2028e"))
    assert run("translate", untrained / "plain.safetensors", *dash) == 0
    assert capsys.readouterr() == ("A B\n\nC D E\n", "")


def test_a_terminal_gets_a_hint(untrained, fake_library, monkeypatch, capsys):
    terminal = io.StringIO("a\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run("translate", untrained / "plain.safetensors") == 0
    out, err = capsys.readouterr()
    assert out == "A\n" and "type sentences" in err and "Ctrl-D" in err


def test_sentences_may_stand_behind_options(untrained, fake_library, capsys):
    model = untrained / "plain.safetensors"
    assert run("translate", model, "--beam", 2, "a b", "--scores", "c") == 0
    assert capsys.readouterr().out == "-0.5000\tA B\n-0.5000\tC\n"


def test_a_reader_that_has_had_enough(untrained):
    """As `| head` does, close the pipe before anything is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "d2l_ext", "info", untrained / "plain.safetensors"],
        cwd=processes.ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (done.stderr, done.returncode) == ("", 1)


# Info -------------------------------------------------------------------------------------------


def test_a_file_is_described_without_a_framework(untrained):
    path = untrained / "attention.safetensors"
    described = processes.output_of(
        f"hide({ALL})\nsys.argv[1:] = ['info', {str(path)!r}]\n"
        "import runpy\nrunpy.run_module('d2l_ext', run_name='__main__')"
    )
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in described.splitlines())
    sizes = weights.expected_shapes(weights.load(path)[1]).values()
    assert facts == {
        "file": f"{path}, {path.stat().st_size / 1000:.1f} kB",
        "model": "attention decoder, bidirectional encoder",
        "sizes": "embeddings 5, hiddens 7, layers 1, dropout 0.25",
        "parameters": f"{sum(int(np.prod(shape)) for shape in sizes):,}",
        "source": "16 tokens: a b c d e f g h ...",
        "target": "13 tokens: A B C D E F G H ...",
    }


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--out", "{tmp}/m"], "required: --framework"),
        (["train", "--framework=torch", "--out={tmp}/m"], "'torch'.*pytorch"),
        (["train", "--framework=jax", "--out={tmp}/m", "--epochs=0"], "'0' is not a whole number"),
        (["train", "--framework=jax", "--out={tmp}/m", "--lr=nan"], "'nan' is not a positive"),
        (["train", "--framework=jax", "--out={tmp}/m", "--dropout=1"], "'1' is not a number from"),
        (["train", "--framework=jax", "--out={tmp}/m", "--seed=-1"], "'-1' is not a whole"),
        (["train", "--framework=jax", "--out={tmp}/m", "--frob"], "unrecognized.*--frob"),
        (["train", "--framework=jax", "--out={tmp}"], "is a folder; name a file in it"),
        (["train", "--framework=jax", "--out={tmp}/no/m"], "folder '.*/no'.*No such file"),
        (["train", "--framework=jax", "--out={tmp}/cut/m"], "folder '.*/cut'.*Not a directory"),
        (["translate", "{tmp}/none", "a"], "no weights file '.*/none'"),
        (["translate", "{tmp}/cut", "a"], "cut is no complete safetensors file"),
        (["translate", "{plain}", "a", "--frob"], "unrecognized.*--frob"),
        (["translate", "{plain}", "a", "--beam=0"], "'0' is not a whole number"),
        (["translate", "{plain}", "a", "--show-attention={tmp}/a.gif"], "end in .html or .png"),
        (["translate", "{plain}", "a", "--show-attention={tmp}/no/a.png"], "folder '.*/no'"),
        (
            ["translate", "{plain}", "a", "--show-attention={tmp}/a.png"],
            "plain model.*--kind atte",
        ),
        (["explore", "{tmp}/none", "--out={tmp}/a.html"], "no weights file '.*/none'"),
        (["explore", "{plain}", "--out={tmp}/a.html"], "kind 'plain'.*attention and transformer"),
        (["explore", "{plain}", "--out={tmp}/no/a.html"], "folder '.*/no'"),
        (["prepare", "--out={tmp}/a", "--keep-case"], "tokens is 'words', which have no vocab"),
        (["info", "{tmp}/none"], "no weights file '.*/none'"),
        (["info", "{tmp}/cut"], "cut is no complete safetensors file"),
    ],
)
def test_bad_input_is_one_line(untrained, tmp_path, capsys, arguments, message):
    names = {"tmp": tmp_path, "plain": untrained / "plain.safetensors"}
    (tmp_path / "cut").write_bytes((untrained / "plain.safetensors").read_bytes()[:-100])
    assert run(*(argument.format(**names) for argument in arguments)) == 2
    assert re.search(message, the_error(capsys))
    assert [p.name for p in tmp_path.iterdir()] == ["cut"]


def test_a_file_of_another_version_says_so(untrained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(weights, "FORMAT_VERSION", 3)
    save(tmp_path / "new.safetensors", "plain")
    monkeypatch.undo()
    assert run("info", tmp_path / "new.safetensors") == 2
    assert "format version 3; this release of d2l_ext reads versions 1 and 2" in the_error(capsys)


def test_a_bad_corpus_is_said_before_the_training(tmp_path, capsys):
    (tmp_path / "pairs.txt").write_text("go\tva\nstop\n", encoding="utf-8")
    arguments = ["--framework", FIRST, "--out", tmp_path / "m.safetensors"]
    assert run("train", *arguments, "--corpus", tmp_path / "pairs.txt") == 2
    assert "pairs.txt, line 2: expected source<TAB>target" in the_error(capsys)
    assert run("train", *arguments, "--corpus", tmp_path / "nothing.txt") == 2
    assert "there is no corpus" in the_error(capsys)


def test_a_long_sentence_is_counted(untrained, fake_library, capsys):
    assert run("translate", untrained / "plain.safetensors", "a b", "a " * 128) == 2
    assert "sentence 2 has 128 tokens, but the model takes at most 127" in the_error(capsys)
    assert run("translate", untrained / "plain.safetensors", "a b", "a " * 127) == 0


def test_input_that_is_not_utf8_is_said(untrained, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8"))
    assert run("translate", untrained / "plain.safetensors") == 2
    assert "standard input is not utf-8" in the_error(capsys)


def test_nothing_to_show_is_said(untrained, fake_library, tmp_path, capsys):
    arguments = [untrained / "attention.safetensors", "", "--show-attention", tmp_path / "a.html"]
    assert run("translate", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "\n" and "no sentence has a translation" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "title"), [("train --framework jax --out m", "JAX"), ("translate {}", "PyTorch")]
)
def test_a_framework_that_is_not_installed_says_how_to_get_it(untrained, tmp_path, command, title):
    words = command.format(untrained / "plain.safetensors").split()
    done = processes.python(
        f"hide({ALL})\nimport os, runpy\nsys.argv[1:] = {words}\nos.chdir({str(tmp_path)!r})\n"
        "runpy.run_module('d2l_ext', run_name='__main__')",
        path=processes.ROOT,
    )
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    expected = f"d2l_ext: error: {title} is not installed: run `pip install -r requirements/"
    assert line.startswith(expected)
    assert list(tmp_path.iterdir()) == []


def test_the_default_framework_is_one_that_is_installed(monkeypatch):
    for installed in command_line.LIBRARIES:
        package = command_line.LIBRARIES[installed]
        monkeypatch.setattr(
            command_line.importlib.util, "find_spec", lambda name, p=package: name == p or None
        )
        assert command_line._first_installed() == installed


def test_a_page_to_explore_a_model(tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run("explore", weights.pretrained("pytorch"), "--out", page) == 0
    assert capsys.readouterr().out.startswith(f"{page}: ")
    text = page.read_text(encoding="utf-8")
    assert "<attention-explorer>" in text and '"gâteau"' in text
    assert page.stat().st_size < 1e6


def test_a_page_with_examples_of_ones_own(tmp_path, capsys):
    """They are held-out pairs of the corpus that the model was trained on, in its pieces."""
    pairs = corpora.load(max_steps=16).train[:300]
    text, model, page = (tmp_path / name for name in ("own.txt", "m.safetensors", "page.html"))
    text.write_text("\n".join("\t".join(map(" ".join, pair[:2])) for pair in pairs), "utf-8")
    corpus = corpora.load(text, max_steps=16, vocab_size=400)
    _, config, *_ = weights.load(weights.pretrained("pytorch"))
    config |= {"src_vocab_size": len(corpus.src_vocab), "tgt_vocab_size": len(corpus.tgt_vocab)}
    weights.save(model, weights.draw(config, 1), config, corpus.src_vocab, corpus.tgt_vocab)
    options = ["--corpus", text, "--vocab-size", "400", "--out", page]
    assert run("explore", model, *options) == 0
    written = page.read_text(encoding="utf-8")
    count = len(corpus.test)
    assert capsys.readouterr().out.endswith(f", {count} of {count} examples\n")
    shown = [json.dumps(pair.source, separators=(",", ":")) for pair in corpus.test[:3]]
    assert [one for one in shown if one not in written] == []
    assert run("explore", model, "--out", page) == 0
    assert "does not know the words of the corpus's sentences" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["", "train", "prepare", "translate", "explore", "info"])
def test_help_fits_a_terminal_and_has_examples(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(*command.split(), "--help") == 0
    text = capsys.readouterr().out
    assert "python -m d2l_ext" in text.split("example", 1)[1]
    assert max(map(len, text.splitlines())) <= 80
