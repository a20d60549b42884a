"""The explorer's model, in the browser, against the NumPy reference: numbers and words."""

import base64
import json

import numpy as np
import pytest

from d2l_ext import corpora, vocab, weights
from tests import reference

NUM_SENTENCES = 200
SIZES = {"embed_size": 8, "num_hiddens": 16, "num_layers": 1, "dropout": 0.0}
TRANSFORMER = SIZES | {"kind": "transformer", "embed_size": 16, "num_layers": 2}
TRANSFORMER |= {"bidirectional": True, "num_heads": 2, "ffn_num_hiddens": 24}
RECURRENT = SIZES | {"kind": "attention"}
DRAWN = {  # by their configurations; the others are files that come with the library
    "one way": RECURRENT | {"bidirectional": False},
    "two layers": RECURRENT | {"num_layers": 2, "bidirectional": True},
    "norm last": TRANSFORMER | {"norm_first": False},
}
MODELS = ["pytorch", "transformer", *DRAWN]

# Arrays travel as text, a hundred times faster than as numbers
RUN = """async ([source, file, sentences, targets, beams, maxSteps]) => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const { loadModel, teacherForcing, beamSearch } = await import(url);
    const bytes = Uint8Array.from(atob(file), c => c.charCodeAt(0));
    const model = loadModel(bytes.buffer), { bos, eos } = model.tgtVocab;
    const pack = rows => {
        const text = [];
        const all = new Uint8Array(Float64Array.from(rows.flatMap(row => [...row])).buffer);
        for (let i = 0; i < all.length; i += 32768)
            text.push(String.fromCharCode(...all.subarray(i, i + 32768)));
        return btoa(text.join(""));
    };
    return sentences.map((tokens, i) => {
        const ids = model.encode(tokens);
        const tgtIn = [bos, ...targets[i].map(token => model.tgtVocab.idOf(token))];
        const steps = teacherForcing(model, ids, tgtIn);
        return {
            logits: pack(steps.map(step => step.logits)),
            weights: pack(steps.map(step => step.weights)),
            found: beams.map(beamSize => {
                const { ids: words, score } = beamSearch(model, ids, { beamSize, maxSteps });
                return [words.filter(word => word !== eos), score];
            }),
        };
    });
}"""


@pytest.fixture(scope="module")
def tab(browser):
    with browser.new_page() as page:
        yield page


@pytest.fixture(scope="module")
def pairs():
    return corpora.load().test[:NUM_SENTENCES]


def model_file(name, folder):
    """A model's path: one that comes along, or one that is drawn."""
    if name not in DRAWN:
        return weights.pretrained(name)
    _, config, *vocabs = weights.load(weights.pretrained("pytorch"))
    sizes = {key: config[key] for key in ("src_vocab_size", "tgt_vocab_size")}
    config = DRAWN[name] | sizes
    # Twice as large: words that a model prefers, and attention that is far from uniform
    arrays = {key: 2 * array for key, array in weights.draw(config, 1).items()}
    path = folder / "drawn.safetensors"
    weights.save(path, arrays, config, *vocabs)
    return path


def script():
    return (weights.PRETRAINED.parent / "explorer" / "model.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_numbers_and_words_are_the_references(tab, pairs, tmp_path, monkeypatch, name):
    path = model_file(name, tmp_path)
    arrays, config, src_vocab, tgt_vocab = weights.load(path)
    # What is not trained does not stop by itself; the reference is slow, most of all a Transformer
    beams, max_steps = [1, 2 if "num_heads" in config else 4], 6 if name in DRAWN else 40
    asked = [
        script(),
        base64.b64encode(path.read_bytes()).decode(),
        [list(pair.source) for pair in pairs],
        [list(pair.target) for pair in pairs],
        beams,
        max_steps,
    ]
    answers = tab.evaluate(RUN, asked)
    assert len(answers) == NUM_SENTENCES
    heads = {"num_heads": config["num_heads"]} if config["kind"] == "transformer" else {}
    arrays, decode = reference.float64(arrays), reference.decode
    for row, (pair, answer) in enumerate(zip(pairs, answers)):
        ids = [*src_vocab[list(pair.source)], src_vocab.eos]
        tgt_in = [tgt_vocab.bos, *tgt_vocab[list(pair.target)]]
        outputs, state = reference.encode(arrays, ids, **heads)
        expected = decode(arrays, outputs, state, tgt_in, **heads)
        for key, numbers in zip(("logits", "weights"), expected):
            found = np.frombuffer(base64.b64decode(answer[key]))
            assert abs(found - np.ravel(numbers)).max() < 1e-4, (row, key)
        for beam, (words, score) in zip(beams, answer["found"]):
            monkeypatch.setattr(reference, "decode", remembering(decode, [tgt_vocab.bos, *words]))
            best = reference.beam_search(arrays, ids, beam, max_steps, tgt_vocab, **heads)
            assert words == best[0], (row, beam)
            assert score == pytest.approx(best[1], abs=1e-4)


def remembering(decode, likely):
    """The reference's decoder, which goes through a beginning once, not anew at each step.

    What follows never changes what a step computes, so the logits of the words that are probably
    found come all at once.
    """
    known = {}

    def remembered(arrays, outputs, state, tokens, **heads):
        if tuple(tokens) not in known:
            whole = likely if list(tokens) == likely[: len(tokens)] else tokens
            logits, _ = decode(arrays, outputs, state, whole, **heads)
            known.update({tuple(whole[: t + 1]): [row] for t, row in enumerate(logits)})
        return known[tuple(tokens)], None

    return remembered


TEXTS = [
    "The cat doesn't sleep.",
    "It's 2:30 p.m., isn't it? 10,000 o'clock ...",
    "L’homme qu'il voit, aujourd'hui, n'est-ce pas ?",
    'He said "no" (twice) [sic]; that\'s 5%!',
    "snake_case x² Ⅳ ½ e\u0301te\u0301 ÉTÉ 猫は眠る。 नमस्ते 👍🏽 \t end",
    "",
    " two  spaces   and\nlines ",
]
CUT = """async ([source, vocabularies, texts]) => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const { Vocab, Subwords } = await import(url);
    return vocabularies.map(parts => {
        const vocab = new (parts.kind === "words" ? Vocab : Subwords)(parts);
        return texts.map(text => {
            const tokens = vocab.tokenize(text);
            return [tokens, vocab.detokenize(tokens)];
        });
    });
}"""


def test_text_is_cut_and_joined_as_in_python(tab):
    texts = [*TEXTS[:4], "猫は眠る。犬は眠らない。", "the cats sleep, the cat sleeps"]
    vocabularies = [
        vocab.Vocab(vocab.SPECIAL_TOKENS),
        vocab.Subwords.train(texts, 320),
        vocab.Subwords.train(texts, 320, lower=False),
        vocab.Subwords.train(["猫は眠る。", "猫は眠らない。"], 270, merge=False),
    ]
    parts = [json.loads(one.to_json()) for one in vocabularies]
    found = tab.evaluate(CUT, [script(), parts, TEXTS])
    for one, answers in zip(vocabularies, found):
        for text, (tokens, joined) in zip(TEXTS, answers):
            assert tokens == one.tokenize(text), (one, text)
            assert joined == one.detokenize(tokens), (one, text)
