"""The contract of encoder, decoders, loss and training, against NumPy, in every framework."""

import gc
import types
import weakref

import numpy as np
import pytest

from d2l_ext import corpora
from tests import reference, tiny

ALL_KINDS = pytest.mark.parametrize("kind", tiny.ALL_KINDS, ids=tiny.kind_name)
BOTH_WAYS = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
BOTH_DECODERS = pytest.mark.parametrize("decoder", ["plain", "attention"])


def close(result, expected, rtol=1e-5):
    np.testing.assert_allclose(result, expected, rtol=rtol, atol=1e-5)


def encode(framework, model, src, src_valid_len):
    outputs, state = model.encoder(framework.array(src), framework.array(src_valid_len))
    return framework.numpy(outputs), framework.numpy(state)


def test_the_learning_rate_rises_and_falls(framework):
    rate = framework.d2l.linear_schedule(8, num_steps=6, warmup=2)
    assert [rate(step) for step in range(8)] == [4, 8, 8, 6, 4, 2, 0, 0]
    rate = framework.d2l.linear_schedule(8, num_steps=4)
    assert [rate(step) for step in range(5)] == [8, 6, 4, 2, 0]
    rate = framework.d2l.linear_schedule(8, num_steps=2, warmup=4)  # never gets to the top
    assert [rate(step) for step in range(2)] == [2, 4]


# The model ---------------------------------------------------------------------------------------


@ALL_KINDS
def test_teacher_forcing_gives_the_reference(framework, kind):
    model, given = tiny.shared_model(framework, *kind), tiny.batch()
    logits, attention = framework.d2l.teacher_forcing(model, *given)
    assert type(logits) is np.ndarray and logits.dtype == np.float32
    expected = reference.teacher_forcing(tiny.random_weights(*kind), *given, **tiny.local(kind))
    close(logits, expected[0])
    if kind[0] == "plain":
        assert attention is None
    else:
        assert type(attention) is np.ndarray and attention.dtype == np.float32
        close(attention, expected[1])
        for row, length in enumerate(given[1]):
            assert (attention[row, :, length:] == 0).all()


@BOTH_WAYS
def test_the_encoder_gives_the_reference(framework, bidirectional):
    kind = ("attention", 2, bidirectional)
    model, (src, src_valid_len, _) = tiny.shared_model(framework, *kind), tiny.batch()
    outputs, state = encode(framework, model, src, src_valid_len)
    assert outputs.shape == (*src.shape, tiny.HIDDENS * (2 if bidirectional else 1))
    assert state.shape == (2, len(src), tiny.HIDDENS)
    weights = tiny.random_weights(*kind)
    for row, length in enumerate(src_valid_len):
        expected = reference.encode(weights, src[row, :length])
        close(outputs[row, :length], np.reshape(expected[0], (length, outputs.shape[2])))
        close(state[:, row], expected[1])
        assert (outputs[row, length:] == 0).all()
    assert (state[:, src_valid_len == 0] == 0).all()


@BOTH_WAYS
def test_neither_padding_nor_the_batch_changes_a_sentence(framework, bidirectional):
    model = tiny.shared_model(framework, "attention", 2, bidirectional)
    src, src_valid_len, _ = tiny.batch()
    outputs, state = encode(framework, model, src, src_valid_len)
    row = 1
    length = src_valid_len[row]
    alone = encode(framework, model, src[row : row + 1, :length], src_valid_len[row : row + 1])
    close(alone[0][0], outputs[row, :length])
    close(alone[1][:, 0], state[:, row])
    more = encode(
        framework, model, np.pad(src, ((0, 0), (0, 3)), constant_values=5), src_valid_len
    )
    close(more[0][:, : src.shape[1]], outputs)
    close(more[1], state)
    assert (more[0][:, src.shape[1] :] == 0).all()


@BOTH_DECODERS
@BOTH_WAYS
def test_decoding_step_by_step_is_teacher_forcing(framework, decoder, bidirectional):
    model = tiny.shared_model(framework, decoder, 2, bidirectional)
    src, src_valid_len, tgt_in = tiny.batch()
    lens = framework.array(src_valid_len)
    enc_outputs = model.encoder(framework.array(src), lens)
    state = model.decoder.init_state(enc_outputs, lens)
    assert isinstance(state, framework.d2l.DecoderState)
    close(framework.numpy(state.hidden), framework.numpy(enc_outputs[1]))
    expected = framework.d2l.teacher_forcing(model, src, src_valid_len, tgt_in)
    for step in range(tgt_in.shape[1]):
        X = framework.array(tgt_in[:, step : step + 1])
        logits, state, attention = model.decoder(X, state)
        assert logits.shape == (len(src), 1, len(tiny.TGT_VOCAB))
        close(framework.numpy(logits)[:, 0], expected[0][:, step])
        if decoder == "plain":
            assert attention is None
        else:
            close(framework.numpy(attention)[:, 0], expected[1][:, step])


def test_attention_weights_are_those_of_the_call(framework):
    model = tiny.shared_model(framework, *tiny.PAPER)
    src, src_valid_len, tgt_in = tiny.batch()
    lens = framework.array(src_valid_len)
    state = model.decoder.init_state(model.encoder(framework.array(src), lens), lens)
    attention = model.decoder.attention_weights(framework.array(tgt_in), state)
    assert framework.is_native(attention)
    expected = framework.d2l.teacher_forcing(model, src, src_valid_len, tgt_in)[1]
    close(framework.numpy(attention), expected)
    assert isinstance(model.decoder, framework.d2l.AttentionDecoder)


def test_the_base_decoder_leaves_its_state_to_subclasses(framework):
    sizes = framework.d2l.Sizes(5, 4, 3, 1, 0)
    decoder = framework.d2l.AttentionDecoder(sizes, input_size=7, **framework.options)
    with pytest.raises(NotImplementedError):
        decoder.init_state(None, None)


@BOTH_DECODERS
def test_a_new_model_has_documented_first_weights(framework, decoder):
    """Matrices Glorot uniform, embeddings standard normal, biases 0."""
    d2l = framework.d2l
    Decoder = d2l.Seq2SeqAttentionDecoder if decoder == "attention" else d2l.Seq2SeqDecoder
    options = framework.options
    encoder = d2l.Seq2SeqEncoder(61, 50, 40, 1, bidirectional=True, **options)
    decoder = Decoder(67, 50, 40, 1, memory_size=encoder.output_size, **options)
    weights = d2l.get_weights(d2l.Seq2Seq(encoder, decoder))
    for name, array in weights.items():
        if array.ndim == 1:
            assert (array == 0).all(), name
        elif "embedding" in name:
            assert abs(array.std() - 1) < 0.05 and abs(array.mean()) < 0.08, name
        else:
            limit = np.sqrt(6 / sum(array.shape))
            assert np.abs(array).max() <= limit * (1 + 1e-6), name
            if array.size > 1000:
                assert np.abs(array).max() > 0.98 * limit, name
                assert abs(array.std() - limit / np.sqrt(3)) < 0.03 * limit, name


def parts(framework, two_way=False, **decoder):
    """An encoder of two layers of 7 units, and a decoder that fits but for `decoder`."""
    d2l, options = framework.d2l, framework.options
    Decoder = decoder.pop("Decoder", d2l.Seq2SeqAttentionDecoder)
    sizes = {"embed_size": 5, "num_hiddens": 7, "num_layers": 2, **decoder, **options}
    return (
        d2l.Seq2SeqEncoder(9, 5, 7, 2, bidirectional=two_way, **options),
        Decoder(8, **sizes),
    )


def test_a_model_keeps_the_weights_of_its_parts(framework):
    """A pretrained encoder, say, stays what it is."""
    encoder, decoder = parts(framework)
    first = framework.d2l.get_weights(framework.d2l.Seq2Seq(encoder, decoder))
    again = framework.d2l.get_weights(framework.d2l.Seq2Seq(encoder, parts(framework)[1]))
    for name, weight in first.items():
        if name.startswith("encoder"):
            np.testing.assert_array_equal(weight, again[name], err_msg=name)
            assert weight.ndim == 1 or len(np.unique(weight)) > weight.size / 2, name


@pytest.mark.parametrize(
    ("two_way", "decoder", "message"),
    [
        (False, {"num_hiddens": 6}, "encoder has num_hiddens=7, the decoder num_hiddens=6"),
        (False, {"num_layers": 1}, "encoder has num_layers=2, the decoder num_layers=1"),
        (False, {"embed_size": 6}, "encoder has embed_size=5, the decoder embed_size=6"),
        (True, {}, "outputs have size 14, .* for memory_size=7; .*encoder.output_size"),
        (False, {"memory_size": 14}, "outputs have size 7, .* for memory_size=14; "),
    ],
)
def test_parts_that_do_not_fit_are_refused(framework, two_way, decoder, message):
    with pytest.raises(ValueError, match=message):
        framework.d2l.Seq2Seq(*parts(framework, two_way, **decoder))


def test_a_decoder_without_attention_does_not_mind_the_outputs(framework):
    encoder, decoder = parts(framework, True, Decoder=framework.d2l.Seq2SeqDecoder)
    assert encoder.output_size == 14
    framework.d2l.Seq2Seq(encoder, decoder)


def test_random_streams_are_given_and_go_on(framework):
    """Made without any, as one could at first, two modules of Flax would get equal weights."""
    if framework.name != "jax":
        pytest.skip("only Flax is given its random numbers")
    with pytest.raises(TypeError, match="rngs"):
        framework.d2l.GRUCell(3, 4)
    options = framework.options
    one, two = (framework.d2l.GRUCell(3, 4, **options) for _ in range(2))
    assert (framework.numpy(one.W_x.kernel[...]) != framework.numpy(two.W_x.kernel[...])).all()


@BOTH_DECODERS
def test_a_model_that_nobody_needs_is_gone(framework, decoder):
    """Neither what was compiled for it nor its optimizer keeps it alive."""
    model = tiny.new_model(framework, decoder, 1, True)
    framework.d2l.train_seq2seq(model, tiny.corpus(), 1, batch_size=64, progress=False)
    framework.d2l.translate(model, tiny.SENTENCES[:1], beam_size=2, max_steps=2)
    left = [weakref.ref(part) for part in (model, model.encoder, model.decoder)]
    del model
    gc.collect()
    assert [part() for part in left] == 3 * [None]


# The loss ----------------------------------------------------------------------------------------


def test_the_loss_gives_the_reference_and_ignores_padding(framework):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(4, 5, 6)).astype(np.float32)
    labels = rng.integers(6, size=(4, 5), dtype=np.int32)
    lens = np.array([5, 2, 0, 1], np.int32)

    def loss(logits, labels=labels):
        return framework.d2l.masked_loss(
            framework.array(logits), framework.array(labels), framework.array(lens)
        )

    found = framework.numpy(loss(logits))
    assert found.shape == ()
    close(found, reference.loss(logits.astype(np.float64), labels, lens))
    padding = np.arange(5) >= lens[:, None]
    other = np.where(padding[..., None], 50 * rng.normal(size=logits.shape), logits)
    again = loss(other.astype(np.float32), np.where(padding, 3, labels).astype(np.int32))
    assert framework.numpy(again) == found
    (gradient,) = framework.grad(loss, logits)
    assert (gradient[padding] == 0).all() and (gradient[~padding] != 0).all()


# Training ----------------------------------------------------------------------------------------


def test_the_first_steps_of_adam(framework):
    """Gradients, their clipping, Adam's epsilon and the falling learning rate.

    Clipped to a norm of 1e-8, a gradient g is as small as epsilon, so that Adam's first step,
    lr * g / (|g| + epsilon), gives it away.
    """
    lr, clip, epsilon = 0.1, 1e-8, 1e-8
    model = tiny.new_model(framework, *tiny.PAPER)
    corpus = tiny.corpus()
    (batch,) = corpus.batches("train", 64, shuffle=False)
    rate = framework.d2l.linear_schedule(lr, num_steps=2)
    train_step, evaluate, *_ = model.make_steps(rate, clip)
    before = framework.d2l.get_weights(model)
    expected = reference.batch_loss(before, batch)
    close(float(evaluate(batch)), expected)
    close(float(train_step(batch)), expected)
    after = framework.d2l.get_weights(model)
    gradient = {}
    for name, weight in before.items():
        ratio = (weight.astype(np.float64) - after[name]) / lr
        gradient[name] = epsilon * ratio / (1 - np.abs(ratio)) / clip
    norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
    assert abs(norm - 1) < 1e-3

    def slope(direction, step=1e-4):
        ahead, behind = (
            {name: w + sign * step * direction[name] for name, w in before.items()}
            for sign in (1, -1)
        )
        difference = reference.batch_loss(ahead, batch) - reference.batch_loss(behind, batch)
        return difference / (2 * step)

    true_norm = slope(gradient)  # the steepest slope there is
    rng = np.random.default_rng(0)
    for part in ("encoder.embedding", "encoder.gru.0.backward", "attention", "decoder.gru", "de"):
        direction = {n: rng.normal(size=w.shape) * (part in n) for n, w in before.items()}
        cosine = sum((gradient[name] * direction[name]).sum() for name in before)
        np.testing.assert_allclose(slope(direction) / true_norm, cosine, rtol=5e-3, atol=1e-3)

    train_step(batch)
    last = framework.d2l.get_weights(model)
    assert any((last[name] != after[name]).any() for name in last)
    train_step(batch)  # the learning rate has reached 0
    for name, weight in framework.d2l.get_weights(model).items():
        np.testing.assert_array_equal(weight, last[name])


def test_training_returns_a_record_an_epoch_and_keeps_the_vocabularies(framework, capsys):
    model, corpus = tiny.new_model(framework, *tiny.PAPER), tiny.corpus()
    assert model.src_vocab is None and model.tgt_vocab is None
    before = framework.d2l.get_weights(model)
    history = framework.d2l.train_seq2seq(model, corpus, 3, batch_size=64, lr=0.02)
    printed = capsys.readouterr().out.splitlines()
    assert len(history) == len(printed) == 3
    for record, line in zip(history, printed):
        assert f"{record.train_loss:.3f}" in line and f"{record.validation_loss:.3f}" in line
        assert record.seconds > 0
    assert history[-1].train_loss < 0.9 * history[0].train_loss
    assert history[-1].validation_loss < history[0].validation_loss
    (batch,) = corpus.batches("train", 64)
    close(history[0].train_loss, reference.batch_loss(before, batch))
    (batch,) = corpus.batches("validation", 64)
    after = framework.d2l.get_weights(model)
    close(history[-1].validation_loss, reference.batch_loss(after, batch), rtol=1e-4)
    assert model.src_vocab == corpus.src_vocab and model.tgt_vocab == corpus.tgt_vocab
    # A trained model still predicts, and what get_weights gave has not moved with it
    expected = reference.teacher_forcing(after, *tiny.batch())[0]
    close(framework.d2l.teacher_forcing(model, *tiny.batch())[0], expected, rtol=1e-4)
    same = tiny.random_weights(*tiny.PAPER)
    assert all((before[name] == same[name]).all() for name in same)


def test_xla_compiles_few_shapes_and_each_once(framework):
    if framework.name != "jax":
        pytest.skip("the others compile once, for batches of every shape, or not at all")
    corpus = corpora.load("grammar", 300, max_steps=16)
    lengths = {batch.tgt_in.shape[1] for batch in corpus.batches("train", 16)}
    config = tiny.config(*tiny.PAPER) | {
        "src_vocab_size": len(corpus.src_vocab),
        "tgt_vocab_size": len(corpus.tgt_vocab),
    }
    compiled = framework.d2l.Seq2Seq.training_step.jitted_fn
    compiled.clear_cache()  # an earlier test may have trained with these shapes
    counts = []
    for _ in range(2):  # the second training needs nothing new
        model = framework.d2l.new_model(config)
        framework.d2l.train_seq2seq(model, corpus, 1, batch_size=16, progress=False)
        counts.append(compiled._cache_size())
    assert counts[0] == counts[1] <= 6 and len(lengths) > 8  # multiples of 3 up to 18


def test_the_mean_loss_counts_tokens_not_batches(framework):
    batches = list(tiny.corpus().batches("train", 16))
    assert len({batch.tgt_valid_len.sum() for batch in batches}) > 1
    sums = [(i + 1, batch.tgt_valid_len.sum()) for i, batch in enumerate(batches)]
    losses = iter(range(1, len(batches) + 1))
    found = framework.d2l.mean_loss(lambda batch: next(losses), batches)
    assert found == pytest.approx(sum(x * n for x, n in sums) / sum(n for _, n in sums))


def test_the_seed_gives_each_epoch_an_order_of_its_own(framework):
    d2l = framework.d2l

    def orders(seed):
        """What two epochs read, batch by batch: training, validation."""
        read = [], []
        steps = [lambda batch, seen=seen: seen.append(batch.src.tolist()) or 0.0 for seen in read]
        steps = d2l.Steps(*steps, None, None)
        model = types.SimpleNamespace(make_steps=lambda *args: steps, reseed=lambda seed: None)
        d2l.train_seq2seq(model, tiny.corpus(), 2, batch_size=16, seed=seed, progress=False)
        return read

    train, validation = orders(0)
    assert len(train) == 6 and train[:3] != train[3:]
    assert len(validation) == 2 and validation[0] == validation[1]
    assert orders(0) == (train, validation)
    assert orders(1)[0][:3] != train[:3]


def test_a_prediction_leaves_the_mode_of_each_layer_as_it_was(framework):
    if framework.name != "pytorch":
        pytest.skip("only PyTorch's layers have a mode that predictions must switch")
    model = tiny.new_model(framework, *tiny.PAPER)
    model.train().encoder.eval()
    modes = [module.training for module in model.modules()]
    assert any(modes) and not all(modes)
    with pytest.raises(ZeroDivisionError), framework.d2l.inference(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == modes


def test_a_seed_fixes_dropout_which_leaves_predictions_alone(framework):
    """Dropout acts in training, repeats with its seed, and never reaches teacher forcing."""
    d2l, corpus, kind = framework.d2l, tiny.corpus(), ("plain", 2, False)

    def first_loss(seed):
        model = tiny.new_model(framework, *kind, dropout=0.5)
        train_step = model.make_steps(lambda step: 0.005, 1.0).train
        model.reseed(seed)
        (batch,) = corpus.batches("train", 64, seed=3)
        return float(train_step(batch))

    model = tiny.new_model(framework, *kind, dropout=0.5)
    (record,) = d2l.train_seq2seq(model, corpus, 1, batch_size=64, seed=3, progress=False)
    assert first_loss(3) == pytest.approx(record.train_loss, rel=1e-5)
    assert abs(first_loss(4) - record.train_loss) > 1e-3
    (batch,) = corpus.batches("train", 64)
    without = reference.batch_loss(tiny.random_weights(*kind), batch)
    assert abs(without - record.train_loss) > 1e-3
    (batch,) = corpus.batches("validation", 64)
    weights = d2l.get_weights(model)
    close(record.validation_loss, reference.batch_loss(weights, batch), rtol=1e-4)

    expected = reference.teacher_forcing(weights, *tiny.batch())[0]
    for training in (True, False):
        if framework.name in ("pytorch", "jax"):
            model.train() if training else model.eval()
            dropout = model.decoder.dropout
            close(d2l.teacher_forcing(model, *tiny.batch())[0], expected)
            kept = dropout.training if framework.name == "pytorch" else not dropout.deterministic
            assert kept == training  # a caller's mode is the caller's
        elif framework.name == "mxnet":
            with framework.mxnet.autograd.record(train_mode=training):
                close(d2l.teacher_forcing(model, *tiny.batch())[0], expected)
        else:
            close(d2l.teacher_forcing(model, *tiny.batch())[0], expected)


@pytest.mark.parametrize(
    ("decoder", "num_layers"), [("plain", 2), ("attention", 2), ("attention", 1)]
)
def test_dropout_acts_between_layers_and_on_attention(framework, decoder, num_layers):
    """Of two layers it changes the second alone; of one layer, what attention gives it."""
    quiet = tiny.shared_model(framework, decoder, num_layers, False)
    model = tiny.new_model(framework, decoder, num_layers, False, dropout=0.5)
    if decoder == "attention" and num_layers == 2:  # look at one dropout at a time
        model.decoder.attention = quiet.decoder.attention

    def states(layer, *inputs):
        if framework.name in ("pytorch", "jax"):
            layer.train()
            result = layer(*inputs)
        elif framework.name == "tensorflow":
            result = layer(*inputs, training=True)
        else:
            with framework.mxnet.autograd.record(train_mode=True):
                result = layer(*inputs)
        return framework.numpy(getattr(result[1], "hidden", result[1]))

    src, src_valid_len, tgt_in = tiny.batch()
    read = framework.array(src), framework.array(src_valid_len)
    start = quiet.decoder.init_state(quiet.encoder(*read), read[1])
    write = framework.array(tgt_in[:, :1]), start
    for part, inputs in (("encoder", read), ("decoder", write)):
        expected = states(getattr(quiet, part), *inputs)
        found = states(getattr(model, part), *inputs)
        if num_layers == 2:
            close(found[0], expected[0])
        if num_layers == 2 or part == "decoder":
            assert np.abs(found[-1] - expected[-1]).max() > 0.01
        else:
            close(found, expected)


# Weights -----------------------------------------------------------------------------------------


@ALL_KINDS
def test_weights_come_back(framework, kind):
    given = tiny.random_weights(*kind)
    found = framework.d2l.get_weights(tiny.shared_model(framework, *kind))
    assert set(found) == set(given)
    for name, array in found.items():
        assert type(array) is np.ndarray and array.dtype == np.float32
        np.testing.assert_array_equal(array, given[name], err_msg=name)


def test_a_model_and_its_weights_share_no_memory(framework):
    model, weights = tiny.new_model(framework, *tiny.PAPER), tiny.random_weights(*tiny.PAPER)
    framework.d2l.set_weights(model, weights)
    taken = framework.d2l.get_weights(model)
    for name in weights:
        weights[name] += 1
    for name, array in framework.d2l.get_weights(model).items():
        np.testing.assert_array_equal(array, taken[name], err_msg=name)
    framework.d2l.set_weights(model, weights)
    for name, array in tiny.random_weights(*tiny.PAPER).items():
        np.testing.assert_array_equal(taken[name], array, err_msg=name)


def test_weights_that_do_not_fit_are_named_and_change_nothing(framework):
    model = tiny.new_model(framework, *tiny.PAPER)
    before = framework.d2l.get_weights(model)
    weights = {name: array + 1 for name, array in before.items()}
    del weights["decoder.dense.b"]
    weights["decoder.gru.1.w_x"] = np.zeros((2, 3), np.float32)
    weights["decoder.attention.w_q"] = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError) as raised:
        framework.d2l.set_weights(model, weights)
    message = str(raised.value)
    assert "decoder.dense.b is missing" in message
    assert "decoder.gru.1.w_x is unknown" in message
    assert "decoder.attention.w_q has shape (2, 3), expected (7, 7)" in message
    for name, array in framework.d2l.get_weights(model).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
