"""Corpora: tokens, vocabularies, splits, batches, files, and the download."""

import errno
import functools
import gzip
import hashlib
import http.server
import importlib.util
import io
import json
import lzma
import os
import re
import sys
import threading
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

from d2l_ext import corpora


@pytest.fixture(scope="module")
def corpus():
    return corpora.load()


@pytest.fixture
def write(tmp_path):
    """A function that writes a corpus file and returns its path."""

    def write(content):
        path = tmp_path / "pairs.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def numbered(count, source="word{} .", target="mot{} ."):
    return "".join(f"{source}\t{target}\n".format(i, i) for i in range(count))


# Tokens and text --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("L'homme ne l\u2019aime pas.", "l' homme ne l' aime pas ."),
        ("Qu'est-ce qu'il y a\u202f?", "qu' est-ce qu' il y a ?"),
        ("Jusqu'ici, c'est aujourd'hui\u00a0!", "jusqu' ici , c' est aujourd'hui !"),
        ("Don't! I can't, she didn't.", "do n't ! i ca n't , she did n't ."),
        ("It's Tom's; I'm, we're", "it 's tom 's ; i 'm , we 're"),
        ("I'd, you've, they'll go...", "i 'd , you 've , they 'll go ..."),
        ("At 2:30 p.m. 10,000 men paid $5.", "at 2:30 p.m. 10,000 men paid $ 5 ."),
        ("Elle dit\u00a0: «\u00a0Oui.\u00a0»", "elle dit : « oui . »"),
        ("Ten o'clock, y'all", "ten o'clock , y'all"),
        (unicodedata.normalize("NFD", "Élève"), "élève"),
        ("  ", ""),
    ],
)
def test_tokenize(text, tokens):
    assert corpora.tokenize(text) == tokens.split()


def test_tokens_stay_tokens():
    text = "do n't , l' homme qu' il 's aujourd'hui ... p.m. est-ce ca n't i 'd 10,000"
    assert corpora.tokenize(text) == text.split()


@pytest.mark.parametrize(
    "text",
    [
        "don't you see anna's dog?",
        "est-ce qu'il ne l'aime pas aujourd'hui?",
        'he said: "yes, (of course) it costs $5."',
        "it's 2:30 p.m., we'll go...",
    ],
)
def test_detokenize_undoes_tokenize(text):
    assert corpora.detokenize(corpora.tokenize(text)) == text


def test_grammar_sentences_survive_a_round_trip(corpus):
    for pair in corpus.train:
        for tokens in (pair.source, pair.target):
            assert tuple(corpora.tokenize(corpora.detokenize(tokens))) == tokens


# Vocabulary -------------------------------------------------------------------------------------


def test_vocabulary_orders_by_frequency_then_alphabet():
    vocab = corpora.Vocab.build([("b", "a", "c"), ("c",), ("a", "z")], min_freq=1)
    assert vocab.tokens == ["<unk>", "<pad>", "<bos>", "<eos>", "a", "c", "b", "z"]
    assert (vocab.unk, vocab.pad, vocab.bos, vocab.eos) == (0, 1, 2, 3)
    assert corpora.Vocab.build([("b", "a"), ("a",)], min_freq=2).tokens[4:] == ["a"]


def test_vocabulary_looks_up_both_ways():
    vocab = corpora.Vocab.build([("a", "b")])
    assert vocab["a"] == 4
    assert vocab[["b", "nowhere", "a"]] == [5, 0, 4]
    assert vocab[("a",)] == [4]
    assert vocab.to_tokens([4, 0, 3]) == ["a", "<unk>", "<eos>"]
    assert vocab.to_tokens(np.array([[4], [5]])) == [["a"], ["b"]]
    assert vocab.to_tokens(np.int32(5)) == "b"
    assert "a" in vocab and "nowhere" not in vocab
    assert len(vocab) == 6
    assert vocab == corpora.Vocab(vocab.tokens) != corpora.Vocab(vocab.tokens[:-1])


def test_vocabulary_refuses_other_starts_and_repetitions():
    with pytest.raises(ValueError, match="starts with"):
        corpora.Vocab(["a", "b"])
    with pytest.raises(ValueError, match="'a' is in the vocabulary twice"):
        corpora.Vocab([*corpora.SPECIAL_TOKENS, "a", "a"])


# Arrays -----------------------------------------------------------------------------------------


def test_pad_batch_by_hand():
    src_vocab = corpora.Vocab.build([("a", "b")])  # a 4, b 5
    tgt_vocab = corpora.Vocab.build([("x", "y")])  # x 4, y 5
    pairs = [corpora.Pair(("a", "b"), ("y",)), corpora.Pair(("q",), ("x", "x", "y"))]
    batch = corpora.pad_batch(pairs, src_vocab, tgt_vocab)
    assert batch.src.tolist() == [[4, 5, 3], [0, 3, 1]]
    assert batch.src_valid_len.tolist() == [3, 2]
    assert batch.tgt_in.tolist() == [[2, 5, 1, 1], [2, 4, 4, 5]]
    assert batch.tgt_out.tolist() == [[5, 3, 1, 1], [4, 4, 5, 3]]
    assert batch.tgt_valid_len.tolist() == [2, 4]
    assert {array.dtype for array in batch} == {np.dtype("int32")}
    wider = corpora.pad_batch(pairs, src_vocab, tgt_vocab, multiple=8)
    assert wider.src.shape == wider.tgt_in.shape == wider.tgt_out.shape == (2, 8)
    assert wider.src[:, :3].tolist() == batch.src.tolist()
    assert (wider.src[:, 3:] == 1).all()


def test_encode_source_by_hand():
    vocab = corpora.Vocab.build([("a", "b")])
    src, valid_len = corpora.encode_source([["b"], ["a", "new", "a"], []], vocab)
    assert src.tolist() == [[5, 3, 1, 1], [4, 0, 4, 3], [3, 1, 1, 1]]
    assert valid_len.tolist() == [2, 4, 1]
    with pytest.raises(ValueError, match="no sentences"):
        corpora.encode_source([], vocab)
    with pytest.raises(TypeError, match="'a b' is a string"):
        corpora.encode_source(["a b"], vocab)
    with pytest.raises(ValueError, match="no pairs"):
        corpora.pad_batch([], vocab, vocab)


def decode(corpus, batch):
    pairs = []
    for src, n, tgt, m in zip(batch.src, batch.src_valid_len, batch.tgt_out, batch.tgt_valid_len):
        source = tuple(corpus.src_vocab.to_tokens(src[: n - 1]))
        pairs.append((source, tuple(corpus.tgt_vocab.to_tokens(tgt[: m - 1]))))
    return pairs


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_every_pair_once(corpus, shuffle):
    seen = []
    for batch in corpus.batches("train", 128, shuffle):
        assert len(batch.src) <= 128
        assert batch.src.shape[1] == batch.src_valid_len.max()
        assert batch.tgt_in.shape[1] == batch.tgt_out.shape[1] == batch.tgt_valid_len.max()
        assert batch.tgt_valid_len.max() - batch.tgt_valid_len.min() <= 3
        seen += decode(corpus, batch)
    assert sorted(seen) == sorted((pair.source, pair.target) for pair in corpus.train)


def test_batches_depend_on_the_seed_alone(corpus):
    def epoch(seed):
        return [batch.src.tolist() for batch in corpus.batches("train", 64, seed=seed)]

    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)
    assert {str(sorted(batch)) for batch in epoch(1)} != {str(sorted(batch)) for batch in epoch(2)}


def test_shuffled_batches_mix_lengths(corpus):
    steps = [batch.tgt_in.shape[1] for batch in corpus.batches("train", 64, seed=0)]
    assert steps != sorted(steps)
    steps = [batch.tgt_in.shape[1] for batch in corpus.batches("train", 64, shuffle=False)]
    assert steps == sorted(steps)


def test_batches_come_in_few_shapes_on_request(corpus):
    shapes = set()
    for batch in corpus.batches("train", 128, multiple=8):
        assert batch.src.shape[1] % 8 == batch.tgt_in.shape[1] % 8 == 0
        shapes.add((batch.src.shape, batch.tgt_in.shape))
    assert len(shapes) <= 12


def test_batches_refuse_bad_arguments(corpus):
    with pytest.raises(
        ValueError, match="split is 'dev'; expected one of train, validation, test"
    ):
        corpus.batches("dev", 8)
    for batch_size in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=f"batch_size is {batch_size}"):
            corpus.batches("train", batch_size)
    with pytest.raises(ValueError, match="multiple is 0"):
        corpus.batches("train", 8, multiple=0)


# Loading ----------------------------------------------------------------------------------------


def test_grammar_is_the_default(corpus):
    sizes = len(corpus.train), len(corpus.validation), len(corpus.test)
    assert sizes == (18_000, 1000, 1000)
    assert corpus.name == "grammar"
    assert corpus.max_steps == 31
    assert corpus == corpora.load("grammar", 20_000, 31, seed=0)
    assert all(pair.alignment for pair in corpus.test)
    held_out = {token for pair in corpus.test for token in pair.source}
    assert held_out <= set(corpus.src_vocab.tokens)


def test_held_out_sentences_come_in_all_lengths(corpus):
    lengths = [len(pair.source) for pair in corpus.test]
    for low in range(1, 30, 5):
        assert sum(low <= length <= low + 4 for length in lengths) >= 65


def test_no_source_sentence_in_two_splits(write):
    lines = numbered(200) + numbered(200, target="autre{}") + numbered(50)
    corpus = corpora.load(write(lines))
    splits = [{pair.source for pair in getattr(corpus, split)} for split in corpora.SPLITS]
    assert [len(split) for split in splits] == [180, 10, 10]
    assert not (splits[0] & splits[1] or splits[0] & splits[2] or splits[1] & splits[2])
    # Both translations of a sentence stay together; the repeated lines are dropped.
    assert [len(getattr(corpus, split)) for split in corpora.SPLITS] == [360, 20, 20]


def test_same_seed_gives_the_same_corpus_on_every_machine():
    def digest(corpus):
        content = repr((list(corpus.train), list(corpus.test), corpus.src_vocab.tokens))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    assert digest(corpora.load(num_pairs=500)) == "74f1746a7ec9efdc"
    assert digest(corpora.load(num_pairs=500, seed=1)) != digest(corpora.load(num_pairs=500))


def test_file_is_read_by_line_and_column(write):
    content = "\ufeffHello !\tSalut\u202f!\tCC-BY\n\nHello !\tBonjour !\r\n" + numbered(8)
    corpus = corpora.load(str(write(content)), tokens="words")
    pairs = [*corpus.train, *corpus.validation, *corpus.test]
    assert corpora.Pair(("hello", "!"), ("salut", "!")) in pairs
    assert corpora.Pair(("hello", "!"), ("bonjour", "!")) in pairs
    assert len(pairs) == 10
    assert corpus.name == "pairs"
    assert corpus.max_steps == 3
    # Words that the training pairs have only once are not in the vocabularies.
    assert "." in corpus.src_vocab and "word1" not in corpus.src_vocab


def test_last_line_may_end_in_mid_sentence(write):
    pairs = corpora.load(write(numbered(9) + "They did it again.\tIls l'ont "), tokens="words")
    everything = [*pairs.train, *pairs.validation, *pairs.test]
    assert (("they", "did", "it", "again", "."), ("ils", "l'", "ont"), None) in everything


def test_num_pairs_takes_the_head_of_the_file(write):
    path = write(numbered(10) + numbered(90))
    corpus = corpora.load(path, num_pairs=20, tokens="words")
    pairs = [*corpus.train, *corpus.validation, *corpus.test]
    assert {pair.source[0] for pair in pairs} == {f"word{i}" for i in range(20)}
    corpus = corpora.load(path, num_pairs=1000)  # more than there are: all of them
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 90


def test_max_steps_drops_long_pairs_and_counts_eos(write):
    lines = numbered(10) + numbered(10, source="long long{} .", target="longue{} .")
    lines += numbered(10, source="word{} .", target="une longue phrase{} .")
    corpus = corpora.load(write(lines), max_steps=3, tokens="words")
    pairs = [*corpus.train, *corpus.validation, *corpus.test]
    assert {len(pair.source) for pair in pairs} == {len(pair.target) for pair in pairs} == {2}
    assert len(pairs) == 10
    assert corpus.max_steps == 3
    assert corpus.num_longer == 20 and "max_steps 3; 20 longer pairs left out" in repr(corpus)
    assert corpora.load(write(lines), max_steps=50).num_longer == 0
    assert 0 < corpora.load(write(lines), max_steps=5).num_longer < 30
    grammar = corpora.load(max_steps=10)
    assert grammar.num_longer == 0 and "longer" not in repr(grammar)
    assert all(max(map(len, pair[:2])) <= 9 for pair in grammar.train)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (numbered(3) + "no tab here\n" + numbered(3), r"pairs.txt, line 4: expected source<TAB>t"),
        (numbered(3) + "cut off before the t", r"line 4: .* found 'cut off before the t'"),
        (numbered(3) + "nothing behind\t\n", r"line 4: expected source<TAB>target with words on"),
        ("\tnothing before\n", r"line 1: expected source<TAB>target"),
        (b"a\tb\nh\xe9\tb\n", r"pairs.txt, line 2: byte 0xe9 at position 1 is not UTF-8"),
        (b"a\tb\nh\xc3", r"pairs.txt, line 2: byte 0xc3 at position 1 is not UTF-8"),
        ("", "pairs.txt is empty; expected lines of source<TAB>target"),
        ("\n \n", "pairs.txt is empty"),
        ("a\tb\nc\td\n", "2 different source sentences; train, validation and test need at least"),
    ],
)
def test_bad_file(write, content, message):
    with pytest.raises(ValueError, match=message):
        corpora.load(write(content))


def test_bad_arguments(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no corpus .*nowhere.txt.*'fra-eng'"):
        corpora.load(tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match=r"the folder '.*' has no \*\.txt file of source<TAB>"):
        corpora.load(tmp_path)
    with pytest.raises(ValueError, match="no pair of at most max_steps=2"):
        corpora.load(write(numbered(9)), max_steps=2)
    with pytest.raises(ValueError, match="num_pairs is 0"):
        corpora.load(num_pairs=0)
    with pytest.raises(ValueError, match="max_steps is -1"):
        corpora.load(max_steps=-1)
    with pytest.raises(ValueError, match=r"max_steps is 3, but the grammar's shortest"):
        corpora.load(max_steps=3)
    for seed in ("x", 1.5, None, True):
        with pytest.raises(ValueError, match=f"seed is {seed!r}; expected an integer"):
            corpora.load(seed=seed)
    for languages in ("en", ("en",), None, (1, 2)):
        with pytest.raises(ValueError, match=r"languages is .*; expected two codes such as"):
            corpora.load(languages=languages)
    for options in ({"vocab_size": 500}, {"joint": True}, {"lower": False}):
        with pytest.raises(ValueError, match="tokens is 'words', which have no vocab_size"):
            corpora.load(**options)
    for nothing in (None, 3):
        with pytest.raises(TypeError, match=f"a name, a path or two paths, not {nothing}"):
            corpora.load(nothing)


# Folders ----------------------------------------------------------------------------------------


@pytest.fixture
def plant(tmp_path):
    """A function that writes files below tmp_path/corpora and returns that folder."""

    def plant(**contents):
        folder = tmp_path / "corpora"
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return plant


def names(folder, found):
    return [path.relative_to(folder).as_posix() for path in found.files]


def reasons(folder, found):
    return {path.relative_to(folder).as_posix(): reason for path, reason in found.problems}


def test_files_of_sub_folders_in_order(plant):
    tree = ["z.txt", "b/2.txt", "b/10.txt", "b c/1.txt", "a.TXT", "a/b/c/d/deep.txt"]
    others = ["notes.md", "txt", "b/.hidden.txt", ".git/x.txt"]
    folder = plant(**dict.fromkeys([*tree, *others], ""))
    expected = ["a/b/c/d/deep.txt", "a.TXT", "b/10.txt", "b/2.txt", "b c/1.txt", "z.txt"]
    found = corpora.find_files(folder)
    assert names(folder, found) == expected
    assert found.problems == []
    assert names(folder, corpora.find_files(str(folder), ".md")) == ["notes.md"]


def test_odd_names(plant):
    odd = [
        "two words.txt",
        "line\nbreak.txt",
        "-rf.txt",
        "été 日本.txt",
        "*?[a].txt",
        " .txt",
        "%s{}.txt",
    ]
    folder = plant(**{f"{name[:-4]}/{name}": f"{i}\tx\n" for i, name in enumerate(odd)})
    assert sorted(path.name for path in corpora.find_files(folder).files) == sorted(odd)
    corpus = corpora.load(folder, tokens="words")
    pairs = corpus.train + corpus.validation + corpus.test
    assert {pair.source for pair in pairs} == {(str(i),) for i in range(len(odd))}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_name_that_is_not_unicode(plant):
    folder = plant(**{"good.txt": numbered(9)})
    (folder / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"no tab")
    with pytest.warns(UserWarning, match=r"'.*caf\\udce9\.txt': .* expected source<TAB>target"):
        corpora.load(folder)


def test_links_and_loops(plant, tmp_path):
    folder = plant(**{"a/real.txt": "", "a/table.tsv": "", "a/.cache/hidden.txt": ""})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("")
    links = {
        "again.txt": folder / "a" / "real.txt",
        "table.txt": folder / "a" / "table.tsv",  # found under no other name ...
        "table2.txt": folder / "a" / "table.tsv",  # ... and once
        "same": folder / "a",
        "a/up": folder,
        "a/over": folder.parent,
        "escape": outside,
        "secret.txt": outside / "secret.txt",
        "relative.txt": Path("../outside/secret.txt"),
        "broken.txt": folder / "nowhere",
        "self.txt": folder / "self.txt",
        "ping": folder / "pong",
        "pong": folder / "ping",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    found = corpora.find_files(folder)
    assert names(folder, found) == ["a/real.txt", "table.txt"]
    out = dict.fromkeys(["a/over", "escape", "relative.txt", "secret.txt"], "out of the folder")
    nowhere = dict.fromkeys(["broken.txt", "ping", "pong", "self.txt"], "nowhere|[Ll]oop|levels")
    assert reasons(folder, found).keys() == out.keys() | nowhere.keys()
    for name, reason in reasons(folder, found).items():
        assert re.search((out | nowhere)[name], reason), (name, reason)


def test_the_folder_itself_may_be_a_link(plant, tmp_path):
    plant(**{"a/1.txt": ""})
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "corpora")
    assert names(link, corpora.find_files(link)) == ["a/1.txt"]


def test_what_is_not_a_file_is_not_opened(plant):
    folder = plant(**{"good.txt": numbered(9)})
    os.mkfifo(folder / "pipe.txt")  # opening it would wait for somebody to write
    (folder / "folder.txt").mkdir()
    found = corpora.find_files(folder)
    assert names(folder, found) == ["good.txt"]
    assert reasons(folder, found) == {"pipe.txt": "neither a file nor a folder"}


def test_no_such_folder(plant):
    folder = plant(**{"a.txt": ""})
    for path in (folder / "nowhere", folder / "a.txt"):
        with pytest.raises(NotADirectoryError, match=f"there is no folder '.*{path.name}'"):
            corpora.find_files(path)


def test_load_reads_a_folder_like_one_file(plant, write):
    lines = numbered(60).splitlines(keepends=True)
    parts = {"1.txt": lines[:20], "sub/3.txt": lines[40:], "sub/2.txt": lines[20:40]}
    folder = plant(**{name: "".join(part) for name, part in parts.items()})
    corpus = corpora.load(folder)
    whole = corpora.load(write("".join(lines)))
    assert corpus.name == "corpora"
    for part in corpora.SPLITS:
        assert getattr(corpus, part) == getattr(whole, part)
    assert (
        corpora.load(folder, num_pairs=30).train
        == corpora.load(write("".join(lines)), num_pairs=30).train
    )


def test_a_pair_that_two_files_have_counts_once(plant):
    folder = plant(**{"1.txt": numbered(9), "2.txt": "\ufeff" + numbered(12)})
    corpus = corpora.load(folder)
    assert sum(len(getattr(corpus, part)) for part in corpora.SPLITS) == 12


def deny(monkeypatch, method, name):
    """Let a method of Path fail for paths of that name, as it does without permission."""
    original = getattr(Path, method)

    def denied(self, *args, **kwargs):
        if self.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, denied)


def test_unreadable_files_are_named_and_the_others_read(plant, monkeypatch):
    folder = plant(
        **{
            "good.txt": numbered(9),
            "a/also good.txt": numbered(12),
            "a/latin 1.txt": numbered(3).encode() + b"caf\xe9\tcaf\xe9\n",
            "a/empty.txt": "",
            "b/no tabs.txt": "some text\n",
            "private.txt": numbered(99),
            "locked/1.txt": numbered(99),
            "entry.txt": numbered(99),
        }
    )
    (folder / "broken.txt").symlink_to("nowhere")
    deny(monkeypatch, "open", "private.txt")
    deny(monkeypatch, "iterdir", "locked")
    deny(monkeypatch, "lstat", "entry.txt")
    with pytest.warns(UserWarning) as caught:
        corpus = corpora.load(folder)
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    for name, reason in (
        ("locked", "Permission denied"),
        ("entry.txt", "Permission denied"),
        ("broken.txt", "a link that leads nowhere"),
        ("private.txt", "Permission denied"),
        ("a/latin 1.txt", "line 4: byte 0xe9 at position 3 is not UTF-8"),
        ("a/empty.txt", "is empty"),
        ("b/no tabs.txt", "line 1: expected source<TAB>target"),
    ):
        assert re.search(f"{re.escape(name)}': .*{reason}", text), text
    assert text.startswith("2 files of ")
    assert len(text.splitlines()) == 8
    assert sum(len(getattr(corpus, part)) for part in corpora.SPLITS) == 12


def test_folder_without_a_readable_file(plant):
    folder = plant(**{"1.txt": b"\xff", "2.txt": "no tab"})
    with pytest.raises(ValueError, match=r"no \*.txt file .*(?s:.*1.txt': .*0xff.*2.txt': .*TAB)"):
        corpora.load(folder)
    with pytest.raises(ValueError, match="corpora has no pair of at most max_steps=2"):
        corpora.load(plant(**{"1.txt": numbered(9), "2.txt": numbered(9)}), max_steps=2)


# The download -----------------------------------------------------------------------------------


def make_archive(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.content`, claiming `server.missing` bytes more than it sends."""

    def do_GET(self):
        self.server.requests += 1
        if self.server.content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content) + self.server.missing))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A web server in the place of d2l's, and an empty cache: nothing leaves this machine."""
    import pooch

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.missing, server.requests = None, 0, 0
    server.cache = tmp_path / "cache"
    threading.Thread(target=functools.partial(server.serve_forever, 0.01), daemon=True).start()
    monkeypatch.setattr(pooch, "os_cache", lambda project: server.cache)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(
        corpora.textfiles, "ARCHIVE_URL", f"http://127.0.0.1:{server.server_port}/fra-eng.zip"
    )

    def serve(content):
        server.content = content
        digest = hashlib.sha1(content).hexdigest()
        monkeypatch.setattr(corpora.textfiles, "ARCHIVE_HASH", f"sha1:{digest}")

    server.serve = serve
    yield server
    server.shutdown()
    server.server_close()


def cached(server):
    return sorted(path.name for path in server.cache.rglob("*")) if server.cache.exists() else []


def test_archive_is_fetched_once(server):
    server.serve(make_archive({"fra-eng/fra.txt": numbered(20), "fra-eng/_about.txt": "?"}))
    corpus = corpora.load("fra-eng")
    assert (corpus.name, len(corpus.train)) == ("fra-eng", 18)
    assert corpora.load("fra-eng", num_pairs=10, tokens="words").max_steps == 3
    assert server.requests == 1
    assert cached(server) == ["fra-eng.zip"]


def test_archive_is_the_one_that_d2l_fetches():
    spec = importlib.util.find_spec("d2l")
    if spec is None:
        pytest.skip("d2l is not installed")
    # Read, not imported: that would need PyTorch.
    text = (Path(spec.submodule_search_locations[0]) / "torch.py").read_text(encoding="utf-8")
    (root,) = re.findall(r"^DATA_URL = 'http://(.*)'", text, re.MULTILINE)
    (sha1,) = re.findall(r"d2l.DATA_HUB\['fra-eng'\] = .*fra-eng.zip',\s*'(\w+)'\)", text)
    assert f"https://{root}fra-eng.zip" == corpora.textfiles.ARCHIVE_URL
    assert f"sha1:{sha1}" == corpora.textfiles.ARCHIVE_HASH


def test_download_with_another_checksum(server):
    server.serve(make_archive({"fra-eng/fra.txt": numbered(20)}))
    server.content += b"?"
    with pytest.raises(OSError, match=r"could not fetch .*hash.*load\('grammar'\) needs none"):
        corpora.load("fra-eng")
    assert cached(server) == []


def test_download_cut_off(server):
    server.serve(make_archive({"fra-eng/fra.txt": numbered(20)}))
    server.content, server.missing = server.content[:50], len(server.content) - 50
    with pytest.raises(OSError, match=r"could not fetch .*load\('path/to/fra.txt'\) reads"):
        corpora.load("fra-eng")
    assert cached(server) == []


def test_download_not_there(server):
    with pytest.raises(OSError, match=r"could not fetch .*404"):
        corpora.load("fra-eng")
    assert cached(server) == []


def test_download_offline(server, monkeypatch):
    monkeypatch.setattr(corpora.textfiles, "ARCHIVE_URL", "http://127.0.0.1:9/fra-eng.zip")
    with pytest.raises(OSError, match=r"could not fetch .*without: load\('grammar'\)"):
        corpora.load("fra-eng")
    assert cached(server) == []


@pytest.mark.parametrize(
    "entry", ["../evil.txt", "/etc/evil", "a/../../evil", "C:\\evil", "..\\e"]
)
def test_archive_entry_that_leaves_the_folder(server, entry):
    server.serve(make_archive({"fra-eng/fra.txt": numbered(20), entry: "evil"}))
    with pytest.raises(ValueError, match="would leave the folder; refused"):
        corpora.load("fra-eng")
    assert cached(server) == ["fra-eng.zip"]


# Any language, any file -------------------------------------------------------------------------

CHINESE = "".join(f"i have {n} books .\t我有{n}本书。\n" for n in range(300))


def everything(corpus):
    return corpus.train + corpus.validation + corpus.test


def test_a_file_is_cut_into_subwords_and_nothing_is_unknown(write):
    corpus = corpora.load(write(CHINESE))
    assert corpus.src_vocab.kind == corpus.tgt_vocab.kind == "subwords"
    assert (corpus.src_vocab.language, corpus.tgt_vocab.language) == ("", "zh")
    assert corpus.unknown == (0, 0) and "unknown" not in repr(corpus)
    texts = {corpus.tgt_vocab.detokenize(pair.target) for pair in everything(corpus)}
    assert texts == {f"我有{n}本书。" for n in range(300)}


def test_unknown_words_are_said(write):
    with pytest.warns(UserWarning, match=r"\d\d% of the held-out target tokens are unknown"):
        corpus = corpora.load(write(CHINESE), tokens="words")
    assert corpus.unknown[1] > 0.3
    assert re.search(r"; unknown in held-out text \d+\.\d% and \d+\.\d%\)", repr(corpus))


def test_characters_one_vocabulary_and_the_other_direction(write):
    path = write(CHINESE)
    corpus = corpora.load(path, tokens="characters", languages=("en-GB", None))
    assert corpus.src_vocab.kind == "characters" and corpus.src_vocab.language == "en"
    joint = corpora.load(path, joint=True, vocab_size=400)
    assert joint.src_vocab.tokens == joint.tgt_vocab.tokens and len(joint.src_vocab) <= 400
    assert joint.src_vocab.spaced and not joint.tgt_vocab.spaced
    assert joint.train[0].source[0].startswith(" ")
    back = corpora.load(path, reverse=True)
    assert (back.src_vocab.language, back.tgt_vocab.language) == ("zh", "")
    grammar = corpora.load(num_pairs=300, tokens="subwords")
    assert grammar.src_vocab.kind == "subwords" and grammar.train[0].alignment is None
    swapped = corpora.load(num_pairs=300, reverse=True)
    assert all(j < len(p.target) and i < len(p.source) for p in swapped.train for i, j in p[2])


@pytest.mark.parametrize(
    "content",
    [
        CHINESE.encode("utf-16"),
        CHINESE.encode("utf-32"),
        CHINESE.encode("utf-8-sig"),
        CHINESE.replace("\n", "\r\n").encode(),
        CHINESE.replace("\n", "\r").encode(),
        CHINESE.replace("\n", "\r").replace("我", "上").encode("utf-16"),  # which has a byte 0x0a
        CHINESE.replace("books", "\rbooks").encode(),
        gzip.compress(CHINESE.encode()),
        lzma.compress(CHINESE.encode("utf-16")),
    ],
    ids=[
        "utf-16",
        "utf-32",
        "mark",
        "windows",
        "old Mac",
        "old Mac utf-16",
        "stray return",
        "gzip",
        "xz of utf-16",
    ],
)
def test_files_as_one_finds_them(write, content):
    assert len(everything(corpora.load(write(content)))) == 300


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CHINESE.encode("utf-16-le"), "looks like UTF-16 without a byte-order mark"),
        ("我\t你\n".encode("utf-16-be"), "looks like UTF-16 without a byte-order mark"),
        (b"\xff\xfea\x00\t\x00\x00\xd8b\x00", "like UTF-16, but somewhere behind line 0"),
        (CHINESE.encode("utf-16")[:-1], r"like UTF-16, but .* behind line \d+ it is not: trunc"),
        (b"PK\x03\x04\x0a\x00\x00\x00", "is packed by zip; unpack it first"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "is packed by zstd; unpack it first"),
        (gzip.compress(CHINESE.encode())[:-100], "is damaged: .*copy or download"),
        (os.urandom(2000).replace(b"\0", b"\xfe"), "is not UTF-8|expected source<TAB>"),
    ],
)
def test_files_that_are_no_text(write, content, message):
    with pytest.raises(ValueError, match=f"pairs.txt.* {message}|{message}"):
        corpora.load(write(content))


def test_two_aligned_files(tmp_path):
    sides = [line.split("\t") for line in CHINESE.splitlines()]
    english, chinese = tmp_path / "train.en", tmp_path / "train.zh"
    english.write_text("\n".join(a for a, _ in sides) + "\n\n")
    chinese.write_text("\r\n".join(b for _, b in sides) + "\r\n\r\n")
    corpus = corpora.load([english, str(chinese)])
    assert corpus.name == "train" and len(everything(corpus)) == 300
    packed = tmp_path / "train.en.gz"
    packed.write_bytes(gzip.compress(english.read_bytes()))
    assert corpora.load([packed, chinese]).name == "train"
    chinese.write_text("\n".join(b for _, b in sides[:-1]))
    with pytest.raises(
        ValueError, match=r"train.zh ends after line 299, but .*train.en has a line"
    ):
        corpora.load((english, chinese))
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere"):
        corpora.load((english, tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="one path or two, not 3"):
        corpora.load((english, english, english))
    chinese.write_text("\n".join(b if i != 6 else "" for i, (_, b) in enumerate(sides)) + "\n\n")
    with pytest.raises(ValueError, match=r"line 7 has words in .*train.en alone: 'i have 6 books"):
        corpora.load((english, chinese))


def test_bad_lines_may_be_left_out(write):
    content = (CHINESE + "no tab\n" * 5).encode() + b"h\xe9\tb\n"
    with pytest.warns(
        UserWarning, match=r"6 bad lines were left out:\n.*line 301: exp.*\n.*\n.*\n"
    ):
        corpus = corpora.load(write(content), bad_lines="skip")
    assert len(everything(corpus)) == 300
    with pytest.raises(ValueError, match=r"no usable pair; 2 bad lines were .*\n.*line 1: exp"):
        corpora.load(write("no tab\n" * 2), bad_lines="skip")
    with pytest.raises(ValueError, match="bad_lines is 'ignore'; expected 'error' or 'skip'"):
        corpora.load(write(content), bad_lines="ignore")
    with pytest.raises(ValueError, match="tokens is 'letters'; expected one of words, subwords"):
        corpora.load(write(content), tokens="letters")


def test_pairs_read_like_a_list(corpus):
    head = corpus.train[:3]
    assert len(head) == 3 and head == [corpus.train[0], corpus.train[1], corpus.train[2]]
    assert corpus.train[-1] == list(corpus.train)[-1]
    assert corpus.test[:1] + head == [corpus.test[0], *head]
    assert head != corpus.train[1:4] and corpus.train[5] in corpus.train
    assert "Pairs([Pair(" in repr(head) and repr(corpus.test) == "Pairs(1000 pairs)"


def test_large_files_are_cached(write, tmp_path, monkeypatch):
    import pooch

    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.setattr(corpora, "CACHED_BYTES", 100)
    path = write(CHINESE)
    first = corpora.load(path)
    (folder,) = (tmp_path / "cache" / "corpora").iterdir()
    again = corpora.load(path)
    assert isinstance(again.train.source.ids, np.memmap)
    assert again == first and again.max_steps == first.max_steps
    batches = zip(first.batches("train", 32), again.batches("train", 32), strict=True)
    assert all((a.src == b.src).all() and (a.tgt_in == b.tgt_in).all() for a, b in batches)
    corpora.load(path, vocab_size=300)
    assert len(list(folder.parent.iterdir())) == 2  # other options, another entry
    (folder / "parts.json").write_text("{")
    assert corpora.load(path) == first  # a damaged entry is made anew
    assert (folder / "parts.json").stat().st_size > 10
    path.write_text(CHINESE + "one more .\t再来一个。\n")
    assert len(everything(corpora.load(path))) == 301  # another content
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".")]


def test_a_cache_that_cannot_be_written_is_no_error(write, tmp_path, monkeypatch):
    import pooch

    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.setattr(corpora, "CACHED_BYTES", 100)
    assert len(everything(corpora.load(write(CHINESE)))) == 300


@pytest.fixture
def small_cache(tmp_path, monkeypatch):
    """An empty cache, into which small files go, too."""
    import pooch

    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.setattr(corpora, "CACHED_BYTES", 100)
    return tmp_path / "cache" / "corpora"


def test_a_cached_corpus_says_what_was_left_out(write, small_cache):
    path = write(CHINESE + "no tab\n" + f"{'q7' * 30}\t长\n")
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=r"1 bad lines were left out:\n.*line 301: exp"
        ) as caught:
            corpus = corpora.load(path, np.int64(500), np.int64(30), np.int64(0), bad_lines="skip")
        assert len(caught) == 1 and caught[0].filename == __file__
        assert corpus.num_longer == 1 and "max_steps 30; 1 longer pairs left out" in repr(corpus)
    assert len(list(small_cache.iterdir())) == 1


def test_what_a_killed_process_left_in_the_cache_is_removed(write, small_cache):
    old, new = (small_cache / f".{name}.1.unfinished" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    corpora.load(write(CHINESE))
    assert not old.exists() and new.exists()  # somebody may be writing the new one


def test_folders_are_cached_unless_there_are_problems(plant, small_cache):
    folder = plant(**{"1.txt": CHINESE, "2.txt": "no tab\n"})
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"(?s)^1 files of .*2.txt': "):
            assert len(everything(corpora.load(folder))) == 300
    assert len(list(small_cache.iterdir())) == 1
    (folder / "3.txt").symlink_to("nowhere")
    with pytest.warns(UserWarning, match=r"3.txt': a link that leads nowhere"):
        corpora.load(folder)


def test_arrays_of_an_older_release(write, tmp_path):
    corpora.save_arrays(corpora.load(write(CHINESE)), tmp_path / "arrays")
    parts = json.loads((tmp_path / "arrays" / "parts.json").read_text())
    del parts["num_longer"], parts["left_out"]
    (tmp_path / "arrays" / "parts.json").write_text(json.dumps(parts))
    corpus = corpora.load_arrays(tmp_path / "arrays")
    assert (corpus.num_longer, corpus.left_out) == (0, ())
