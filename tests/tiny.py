"""Tiny models and a tiny corpus, the same in every framework, for the tests of whole models.

JAX compiles for each kind of model and each shape, so the tests share models and one batch.
"""

import functools

import numpy as np

from d2l_ext import weights as exchange
from d2l_ext.corpora import Pair, ParallelCorpus, Vocab, encode_source, pad_batch

SRC_VOCAB = Vocab.build([("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")])
TGT_VOCAB = Vocab.build([("A", "B", "C", "D", "E", "F", "G", "H", "I")])
EMBED, HIDDENS = 5, 7
WINDOW = 2
LUONG = {  # options of Seq2SeqGlobalDecoder, by the name that the tests give them
    "dot": {"score": "dot"},
    "general": {"score": "general"},
    "concat": {"score": "concat", "input_feeding": False},
    "unfed": {"score": "general", "input_feeding": False},
    "monotonic": {"score": "general", "local": "monotonic"},
    "predictive": {"score": "general", "local": "predictive"},
    "predictive-unfed": {"score": "dot", "local": "predictive", "input_feeding": False},
}
LUONG_KINDS = [
    ("dot", 1, False),
    ("general", 2, True),
    ("concat", 1, True),
    ("unfed", 2, False),
    ("monotonic", 1, True),
    ("predictive", 1, True),
    ("predictive-unfed", 2, False),
]
ALL_KINDS = [(k, n, two) for k in ("plain", "attention") for n in (1, 2) for two in (False, True)]
ALL_KINDS += LUONG_KINDS
TRANSFORMERS = [("transformer", 2, True), ("transformer-norm-last", 1, True)]
WIDTH, HEADS, INNER = 8, 2, 11  # of a Transformer
ALL_KINDS += TRANSFORMERS
PAPER = ("attention", 1, True)  # the model of Bahdanau et al.


def kind_name(kind):
    """`attention-2-two-way` and the like, for the names of tests."""
    return f"{kind[0]}-{kind[1]}-{'two-way' if kind[2] else 'one-way'}"


SENTENCES = ["a b c d", "e f", "g h", ""]
TARGET_STEPS = 6


def config(kind, num_layers, bidirectional, dropout=0.0):
    """Configuration of a tiny model."""
    options = {}
    if kind.startswith("transformer"):
        return {
            "kind": "transformer",
            "src_vocab_size": len(SRC_VOCAB),
            "tgt_vocab_size": len(TGT_VOCAB),
            "embed_size": WIDTH,
            "num_hiddens": WIDTH,
            "num_layers": num_layers,
            "dropout": dropout,
            "bidirectional": True,
            "num_heads": HEADS,
            "ffn_num_hiddens": INNER,
            "norm_first": kind == "transformer",
        }
    if kind in LUONG:
        options = {"input_feeding": True, "local": None, "window": WINDOW} | LUONG[kind]
    return {
        "kind": "global" if options else kind,
        "src_vocab_size": len(SRC_VOCAB),
        "tgt_vocab_size": len(TGT_VOCAB),
        "embed_size": EMBED,
        "num_hiddens": HIDDENS,
        "num_layers": num_layers,
        "dropout": dropout,
        "bidirectional": bidirectional,
        **options,
    }


def local(kind):
    """What the reference must be told of a kind beside its weights."""
    options = config(*kind)
    if options["kind"] == "transformer":
        return {"num_heads": HEADS}
    return {"local": options.get("local"), "window": options.get("window")}


def random_weights(kind, num_layers, bidirectional, seed=0, scale=None):
    """Weights in the exchange format, normally distributed; no bias is 0 and <eos> is likely.

    Products of states, unscaled as Luong's are, want smaller weights: a sharp softmax turns
    rounding into differences.
    """
    scale = scale or (0.5 if kind in LUONG else 1.0)
    rng = np.random.default_rng(seed)
    shapes = exchange.expected_shapes(config(kind, num_layers, bidirectional))
    weights = {name: rng.normal(scale=scale, size=shape) for name, shape in shapes.items()}
    weights["decoder.dense.b"][TGT_VOCAB.eos] += 3 * scale
    return {name: array.astype(np.float32) for name, array in weights.items()}


def new_model(framework, kind, num_layers, bidirectional, dropout=0.0, seed=0, scale=None):
    """A model of one's own, with random weights and without vocabularies."""
    model = framework.d2l.new_model(config(kind, num_layers, bidirectional, dropout))
    framework.d2l.set_weights(model, random_weights(kind, num_layers, bidirectional, seed, scale))
    return model


@functools.cache
def shared_model(framework, kind, num_layers, bidirectional):
    """A model that tests read and do not change, with vocabularies as if it were trained."""
    model = new_model(framework, kind, num_layers, bidirectional)
    model.src_vocab, model.tgt_vocab = SRC_VOCAB, TGT_VOCAB
    return model


def batch():
    """src, src_valid_len, tgt_in: lengths 5, 3, 3 and 0, and any ids at all behind them."""
    rng = np.random.default_rng(1)
    src, src_valid_len = encode_source([s.split() for s in SENTENCES], SRC_VOCAB)
    src_valid_len[-1] = 0
    padding = np.arange(src.shape[1]) >= src_valid_len[:, None]
    src = np.where(padding, rng.integers(len(SRC_VOCAB), size=src.shape), src).astype(np.int32)
    tgt_in = rng.integers(len(TGT_VOCAB), size=(len(src), TARGET_STEPS), dtype=np.int32)
    return src, src_valid_len, tgt_in


def learning_batch():
    """A `corpora.Batch` with sources of 6, 1, 4, 1 and 3 tokens, <eos> not counted."""
    pairs = [("aklbcd", "AB"), ("e", ""), ("fghi", "FGHI"), ("k", ""), ("bad", "BADCA")]
    return pad_batch([Pair(tuple(s), tuple(t), None) for s, t in pairs], SRC_VOCAB, TGT_VOCAB)


def corpus():
    """40 training and 7 validation pairs: letters, each translated in its place or dropped."""
    rng = np.random.default_rng(2)
    translated = dict(zip("abcdefghi", "ABCDEFGHI"))

    def pair():
        source = tuple(rng.choice(list("abcdefghijkl"), size=rng.integers(1, 8)))
        return Pair(source, tuple(translated[s] for s in source if s in translated), None)

    pairs = [pair() for _ in range(47)]
    return ParallelCorpus("tiny", pairs[:40], pairs[40:], [], SRC_VOCAB, TGT_VOCAB, 8)
