"""The explorer's model, in the browser, against the NumPy reference: numbers and words."""

import base64
import itertools
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
RUN = """async ([source, file, sentences, targets, beams = [], maxSteps = 0, changes = {}]) => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const { AS_TRAINED, loadModel, teacherForcing, beamSearch } = await import(url);
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
        const steps = teacherForcing(model, ids, tgtIn, { ...AS_TRAINED, ...changes });
        const weightsOf = looks => pack(looks.flat(2).map(look => look.weights));
        const of = name => pack(steps.map(({ gates: [gates] }) => gates?.[name] ?? []));
        return {
            logits: pack(steps.map(step => step.logits)),
            weights: pack(steps.map(step => step.weights)),
            encoder: weightsOf(steps[0].state.encoded.looks ?? []),
            own: weightsOf(steps.map(step => step.own)),
            source: weightsOf(steps.map(step => step.looks)),
            contexts: pack(steps.map(step => step.looks[0][0].output)),
            r: of("r"), z: of("z"), n: of("n"), h: of("h"),
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


def run(tab, path, pairs, *options):
    """What the browser computes for each pair, its arrays flat."""
    file = base64.b64encode(path.read_bytes()).decode()
    sides = [[list(side) for side in sides] for sides in zip(*(pair[:2] for pair in pairs))]
    answers = tab.evaluate(RUN, [script(), file, *sides, *options])
    assert len(answers) == len(pairs)
    return [
        {
            key: np.frombuffer(base64.b64decode(value)) if isinstance(value, str) else value
            for key, value in answer.items()
        }
        for answer in answers
    ]


def flat(rows):
    return np.concatenate([np.ravel(row) for row in rows])


def teacher_forcing(arrays, ids, tgt_in, num_heads=None, padding=0):
    """What the reference says of the same: logits, and the weights of all heads that there are."""
    if num_heads is None:
        outputs, state = reference.encode(arrays, ids)
        outputs = [*outputs, *(padding * [0 * outputs[0]])]
        logits, weights = reference.decode(arrays, outputs, state, tgt_in)
        return {"logits": logits, "weights": weights, "source": weights}
    outputs, encoder = reference.transform_source(arrays, ids, num_heads)
    outputs = [*outputs, *(padding * [0 * outputs[0]])]
    logits, *looks = reference.transform_target(arrays, outputs, tgt_in, num_heads)
    own, source = ([row for step in zip(*blocks) for row in step] for blocks in looks)
    mean = [row.mean(0) for row in looks[1][-1]]
    encoder = [*itertools.chain(*encoder)]
    return {"logits": logits, "weights": mean, "encoder": encoder, "own": own, "source": source}


@pytest.mark.parametrize("name", MODELS)
def test_numbers_and_words_are_the_references(tab, pairs, tmp_path, monkeypatch, name):
    path = model_file(name, tmp_path)
    arrays, config, src_vocab, tgt_vocab = weights.load(path)
    # What is not trained does not stop by itself; the reference is slow, most of all a Transformer
    beams, max_steps = [1, 2 if "num_heads" in config else 4], 6 if name in DRAWN else 40
    heads = {"num_heads": config["num_heads"]} if config["kind"] == "transformer" else {}
    arrays, decode = reference.float64(arrays), reference.decode
    for row, (pair, answer) in enumerate(zip(pairs, run(tab, path, pairs, beams, max_steps))):
        ids = [*src_vocab[list(pair.source)], src_vocab.eos]
        tgt_in = [tgt_vocab.bos, *tgt_vocab[list(pair.target)]]
        for key, numbers in teacher_forcing(arrays, ids, tgt_in, **heads).items():
            assert abs(answer[key] - flat(numbers)).max() < 1e-4, (row, key)
        for beam, (words, score) in zip(beams, answer["found"]):
            monkeypatch.setattr(reference, "decode", remembering(decode, [tgt_vocab.bos, *words]))
            best = reference.beam_search(arrays, ids, beam, max_steps, tgt_vocab, **heads)
            assert words == best[0], (row, beam)
            assert score == pytest.approx(best[1], abs=1e-4)
        monkeypatch.setattr(reference, "decode", decode)


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


def test_gates_are_those_of_the_unit(tab, pairs):
    path = weights.pretrained("pytorch")
    arrays, _, src_vocab, tgt_vocab = weights.load(path)
    arrays = reference.float64(arrays)
    name, (answer,) = "decoder.gru.0", run(tab, path, pairs[:1])
    tgt_in = [tgt_vocab.bos, *tgt_vocab[list(pairs[0].target)]]
    (h,) = reference.encode(arrays, [*src_vocab[list(pairs[0].source)], src_vocab.eos])[1]
    found = [answer[key].reshape(len(tgt_in), -1) for key in ("contexts", "r", "z", "n", "h")]
    for token, context, r, z, n, after in zip(tgt_in, *found):
        x = np.concatenate([context, arrays["decoder.embedding"][token]])
        from_x = np.split(x @ arrays[f"{name}.w_x"] + arrays[f"{name}.b_x"], 3)
        from_h = np.split(h @ arrays[f"{name}.w_h"] + arrays[f"{name}.b_h"], 3)
        np.testing.assert_allclose(r, reference.sigmoid(from_x[0] + from_h[0]), atol=1e-6)
        np.testing.assert_allclose(z, reference.sigmoid(from_x[1] + from_h[1]), atol=1e-6)
        np.testing.assert_allclose(n, np.tanh(from_x[2] + r * from_h[2]), atol=1e-6)
        h = (1 - z) * n + z * h
        np.testing.assert_allclose(after, h, atol=1e-6)


# What the explorer bends: its settings, and what the scores are multiplied by
BENT = {
    "temperature": ({"temperature": 3}, 1 / 3),
    "uniform": ({"uniform": True}, 0),
    "scale": ({"rescaled": True}, None),
    "mask on": ({"padding": 4}, 1),
    "mask off": ({"padding": 4, "masked": False}, 1),
    "swapped": ({"swapped": True}, 1),
    "one way": ({"oneWay": True}, 1),
}


@pytest.mark.parametrize("bent", BENT)
@pytest.mark.parametrize("name", ["pytorch", "transformer"])
def test_what_is_bent_is_a_model_with_other_weights(tab, pairs, monkeypatch, name, bent):
    path, (changes, factor) = weights.pretrained(name), BENT[bent]
    arrays, config, src_vocab, tgt_vocab = weights.load(path)
    arrays, heads = reference.float64(arrays), config.get("num_heads")
    if factor is None:  # no longer divided by the root of a head's size; or divided
        factor = (config["num_hiddens"] / heads) ** 0.5 if heads else config["num_hiddens"] ** -0.5
    scores = "attention.w_v" if heads is None else "cross.w_q"  # scores are linear in them
    arrays |= {key: factor * array for key, array in arrays.items() if key.endswith(scores)}
    if bent == "swapped" and heads:  # else they are the same
        for key in [key for key in arrays if key.endswith("cross.w_k")]:
            value = f"{key[:-1]}v"
            arrays[key], arrays[value] = arrays[value], arrays[key]
    if bent == "one way":  # a unit without weights stays at 0; a causal mask hides what follows
        arrays |= {key: 0 * array for key, array in arrays.items() if ".backward." in key}
        whole = reference.multi_head

        def multi_head(arrays, name, queries, keys, num_heads, causal):
            causal = causal or name.startswith("encoder")
            return whole(arrays, name, queries, keys, num_heads, causal)

        monkeypatch.setattr(reference, "multi_head", multi_head)
    padding = 4 if bent == "mask off" else 0
    for pair, answer in zip(pairs, run(tab, path, pairs[:5], [], 0, changes)):
        ids = [*src_vocab[list(pair.source)], src_vocab.eos]
        tgt_in = [tgt_vocab.bos, *tgt_vocab[list(pair.target)]]
        expected = teacher_forcing(arrays, ids, tgt_in, heads, padding)
        assert abs(answer["logits"] - flat(expected["logits"])).max() < 1e-4
        found = answer["weights"].reshape(len(tgt_in), -1)
        shown = np.array(expected["weights"])
        assert abs(found[:, : shown.shape[1]] - shown).max() < 1e-4
        assert not found[:, shown.shape[1] :].any()  # behind the mask


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
