"""What the chapters save for all frameworks, whose modules hand it on.

Generated from notebooks/*.md, cells without a tab. To change a block, edit the
chapter that it names, then run `python -m tabbook build`.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from d2l_ext import corpora, plots, views
from d2l_ext import weights as exchange

# fmt: off
__all__ = [
    "show_attention", "Sizes", "add_to_class", "DecoderState", "DecoderInterface", "check_fit",
    "Steps", "Seq2SeqInterface", "EpochRecord", "mean_loss", "linear_schedule",
    "train_seq2seq", "teacher_forcing", "Beams", "start_beams", "extend_beams", "read_back",
    "beam_search", "Translation", "read_sentences", "translate", "get_config", "get_weights",
    "set_weights", "save_model", "sinusoids", "check_steps", "check_sizes", "gather_weights",
    "ParallelInterface",
]
# fmt: on


# From notebooks/01_attention_cues.md, section "Reading the weights"
def show_attention(
    weights,
    source=None,
    target=None,
    alignment=None,
    titles=None,
    xlabel="Keys",
    ylabel="Queries",
    vmax=None,
    interactive=False,
):
    """Show attention weights: a row for each query, a column for each key.

    Args:
        weights: (queries, keys) or (pictures, queries, keys), an array of
            any framework, or a list of arrays (queries, keys). Pictures,
            of heads or of steps, are drawn side by side.
        source: list of a token for each key; None to count them.
        target: list of a token for each query; None to count them.
        alignment: gold links, (key index, query index) each, whose cells
            get a frame; or None.
        titles: list of a string for each picture, a string for one; or None.
        xlabel: string, what the keys are.
        ylabel: string, what the queries are.
        vmax: weight of the darkest color in a picture; None for 1, or the
            largest weight if that is more.
        interactive: whether to return a page to look around in, with mouse
            or keyboard, instead of a picture to print.

    Returns:
        matplotlib figure; or `views.AttentionView`, if interactive. A
        notebook shows either when it is the last value of a cell.

    Raises:
        ValueError: if the shape of the weights is not that of the tokens, a
            link lies outside, or there are not as many titles as pictures.
    """
    shown = (weights, source, target, alignment, titles, xlabel, ylabel)
    if interactive:
        return views.panels(*shown)
    return plots.attention(*shown, vmax)


# From notebooks/04_seq2seq.md, section "The encoder"
class Sizes(NamedTuple):
    """What an encoder or a decoder was built with.

    vocab_size: number of tokens.
    embed_size: length of an embedding.
    num_hiddens: size of a GRU layer's state.
    num_layers: number of GRU layers.
    dropout: probability of dropping a value between layers.
    """

    vocab_size: int
    embed_size: int
    num_hiddens: int
    num_layers: int
    dropout: float


def add_to_class(Class):
    """Make a decorator that adds a function to a class, as a method."""

    def add(function):
        setattr(Class, function.__name__, function)
        return function

    return add


# From notebooks/04_seq2seq.md, section "The decoder"
class DecoderState(NamedTuple):
    """What a decoder carries from step to step.

    hidden: the states of the GRU layers (num_layers, batch, num_hiddens).
    context: what the decoder knows of the source: one vector (batch,
        num_hiddens) without attention; with attention the projected keys,
        the values and the valid lengths.
    """

    hidden: Any
    context: Any


class DecoderInterface:
    """What every decoder offers, in every framework.

    `kind` is its name in a file, and `option_names` are the attributes that
    keep what its constructor took beyond the sizes: see chapter 06.
    """

    kind, option_names = "plain", ()

    @property
    def options(self):
        """Return a dict of what the constructor took beyond the sizes."""
        return {name: getattr(self, name) for name in self.option_names}

    def own_weights(self):
        """Return the weights that only decoders of this kind have, by name."""
        return {}

    def init_state(self, enc_outputs, enc_valid_lens):
        """Return the first `DecoderState`.

        Args:
            enc_outputs: what the encoder returned.
            enc_valid_lens: (batch,) integers, the source's lengths.
        """
        raise NotImplementedError

    def advance(self, x, hidden):
        """Return the GRU layers' next states, a list, from an input x."""
        states = []
        for i, cell in enumerate(self.cells):
            x = cell(self.dropout(x) if i else x, hidden[i])
            states.append(x)
        return states


def check_fit(encoder, decoder):
    """Look whether a decoder can follow an encoder.

    A part of your own need not tell its sizes; then nothing is looked at.

    Raises:
        ValueError: if it can't; the message names the sizes of both.
    """
    if not (hasattr(encoder, "sizes") and hasattr(decoder, "sizes")):
        return
    names = "embed_size", "num_hiddens", "num_layers"
    names += "num_heads", "ffn_num_hiddens", "norm_first"  # in chapter 09
    for name in names:
        ours, theirs = (
            getattr(part.sizes, name, getattr(part, name, None)) for part in (encoder, decoder)
        )
        if ours != theirs:
            raise ValueError(
                f"the encoder has {name}={ours}, the decoder {name}={theirs}; give both the same"
            )
    if decoder.memory_size not in (None, encoder.output_size):
        raise ValueError(
            f"the encoder's outputs have size {encoder.output_size}, but the "
            f"decoder was built for memory_size={decoder.memory_size}; give "
            "it memory_size=encoder.output_size"
        )


class Steps(NamedTuple):
    """What training does with a model, as functions.

    train: learns from a NumPy `Batch`; returns its loss before, a scalar.
    evaluate: returns the loss of a NumPy `Batch`, without dropout.
    get_state: returns what the optimizer remembers: dict of name -> NumPy
        array, which may change at the next step.
    set_state: takes such a dict, and the number of steps made until then.
    """

    train: Callable
    evaluate: Callable
    get_state: Callable
    set_state: Callable


class Seq2SeqInterface:
    """What code that is the same in all frameworks asks of a model."""

    def reseed(self, seed):
        """Fix what dropout draws from here on."""
        raise NotImplementedError

    def make_steps(self, learning_rate, grad_clip):
        """Make the functions that learn from a batch and that only look at it.

        Args:
            learning_rate: function of a step's number, from 0: that of Adam.
            grad_clip: largest global norm of the gradient.

        Returns:
            `Steps`.
        """
        raise NotImplementedError

    def start_decoding(self, src, src_valid_len):
        """Encode a batch and return the decoder's first state.

        Args:
            src: NumPy int32 (batch, source steps).
            src_valid_len: NumPy int32 (batch,).

        Returns:
            `DecoderState` of one row for each sentence.
        """
        raise NotImplementedError

    def decode(self, tokens, state, rows=None, best=None):
        """Feed tokens to the decoder. Neither dropout nor gradients.

        Args:
            tokens: NumPy int32 (rows, steps).
            state: `DecoderState`.
            rows: NumPy integers (rows,): which row of the state each row of
                tokens goes on from; None for all of them in order.
            best: None, or how many next words to return, in place of logits.

        Returns:
            NumPy float32 logits (rows, steps, vocabulary) and attention
            weights (rows, steps, source steps), or None without attention, and
            the next state. With `best`, in place of the logits, the pair of
            log-probabilities and ids of the most probable words, the best
            first, (rows, steps, best) each.
        """
        raise NotImplementedError

    def export_weights(self):
        """Return the weights in the exchange format.

        Returns:
            Dict of name -> NumPy float32: matrices as (inputs, outputs), a
            GRU's gates in the order r, z, n.
        """
        raise NotImplementedError

    def import_weights(self, weights):
        """Take the weights that `export_weights` of any framework gave.

        Args:
            weights: dict of name -> NumPy array, checked already.
        """
        raise NotImplementedError


# From notebooks/04_seq2seq.md, section "Training"
class EpochRecord(NamedTuple):
    """What one pass over the training sentences gave.

    train_loss, validation_loss: cross-entropy per real target token (nats).
    seconds: wall-clock time of the epoch, validation included.
    """

    train_loss: float
    validation_loss: float
    seconds: float


def mean_loss(step, batches):
    """Return the mean loss per real target token of a pass.

    Args:
        step: function of a `Batch` that returns its loss.
        batches: iterable of `Batch`.
    """
    losses, num_tokens = zip(*[(step(batch), batch.tgt_valid_len.sum()) for batch in batches])
    return float(numpy.average([float(loss) for loss in losses], weights=num_tokens))


def linear_schedule(lr, num_steps, warmup=0):
    """Make the function that says the learning rate of each step.

    Args:
        lr: the largest one.
        num_steps: steps at whose end it has fallen to 0.
        warmup: steps in which it first rises to the largest.

    Returns:
        Function of a step's number, from 0.
    """

    def learning_rate(step):
        if step < warmup:
            return lr * (step + 1) / warmup
        return lr * max(0, 1 - (step - warmup) / max(1, num_steps - warmup))

    return learning_rate


def train_seq2seq(
    model,
    corpus,
    num_epochs,
    batch_size=128,
    lr=0.005,
    grad_clip=1.0,
    seed=0,
    progress=True,
    warmup=0,
    checkpoint=None,
):
    """Train a model with teacher forcing and Adam.

    Args:
        model: a `Seq2Seq`; it keeps the corpus's vocabularies.
        corpus: a `ParallelCorpus`.
        num_epochs: passes over the training pairs.
        batch_size: pairs in a batch.
        lr: largest learning rate; it falls linearly to 0.
        grad_clip: largest global norm of a gradient.
        seed: fixes the order of the batches and the dropout.
        progress: whether to print a line after each epoch.
        warmup: steps in which the learning rate first rises to `lr`.
        checkpoint: a `checkpoints.Checkpoint`, to be able to stop and go on.

    Returns:
        List of one `EpochRecord` for each epoch.

    Raises:
        ValueError: if the checkpoint is one of another training.
    """
    num_batches = -(-len(corpus.train) // batch_size)
    learning_rate = linear_schedule(lr, num_epochs * num_batches, warmup)
    steps = model.make_steps(learning_rate, grad_clip)
    model.reseed(seed)
    model.src_vocab, model.tgt_vocab = corpus.src_vocab, corpus.tgt_vocab
    history = []
    if checkpoint is not None:
        asked = num_epochs, batch_size, lr, grad_clip, seed, warmup
        steps = checkpoint.follow(model, steps, history, corpus, asked)
        history[:] = [EpochRecord(*record) for record in history]
    for epoch in range(len(history), num_epochs):
        start = time.perf_counter()
        train_loss = mean_loss(steps.train, corpus.batches("train", batch_size, seed=seed + epoch))
        validation_loss = mean_loss(
            steps.evaluate, corpus.batches("validation", batch_size, shuffle=False)
        )
        seconds = time.perf_counter() - start
        history.append(EpochRecord(train_loss, validation_loss, seconds))
        if progress:
            print(
                f"epoch {epoch + 1}/{num_epochs}: train loss "
                f"{train_loss:.3f}, validation loss "
                f"{validation_loss:.3f}, {seconds:.1f} s"
            )
    return history


# From notebooks/04_seq2seq.md, section "Fed the truth, or its own words"
def teacher_forcing(model, src, src_valid_len, tgt_in):
    """Return what a model predicts when it is fed the true target.

    Neither dropout nor gradients.

    Args:
        model: a `Seq2Seq`.
        src: NumPy int32 (batch, source steps).
        src_valid_len: NumPy int32 (batch,).
        tgt_in: NumPy int32 (batch, target steps), <bos> first.

    Returns:
        NumPy float32 logits (batch, target steps, target vocabulary) and
        attention weights (batch, target steps, source steps), or None without
        attention.
    """
    state = model.start_decoding(src, src_valid_len)
    logits, weights, _ = model.decode(tgt_in, state)
    if weights is not None:
        weights = weights[:, :, : src.shape[1]]  # JAX may add padding
    return logits, weights


# From notebooks/06_training_vs_prediction.md, section "Beam search"
class Beams(NamedTuple):
    """The beginnings that a search follows, each array (batch, beam_size).

    tokens: id of the last word.
    total: log-probability of the whole beginning.
    lengths: number of tokens, <eos> counted.
    finished: whether it has reached <eos> or its limit.
    """

    tokens: Any
    total: Any
    lengths: Any
    finished: Any


def start_beams(batch, beam_size, bos):
    """Return the `Beams` before the first step."""
    shape = (batch, beam_size)
    total = numpy.full(shape, -numpy.inf)
    total[:, 0] = 0  # one beginning: the others would only repeat it
    return Beams(numpy.full(shape, bos), total, numpy.zeros(shape, int), numpy.zeros(shape, bool))


def extend_beams(beams, words, log_probs, vocab):
    """Extend each beginning by each of its next words and keep the best.

    Args:
        beams: `Beams`.
        words: (batch, beam_size, words) ids of next words.
        log_probs: (batch, beam_size, words), theirs.
        vocab: the target `Vocab`.

    Returns:
        The new `Beams`, and (batch, beam_size) which old beam each continues.
    """
    batch, beam_size, num_words = words.shape
    no_word = numpy.isin(words, [vocab.pad, vocab.bos])
    no_word |= beams.finished[..., None]
    log_probs = numpy.where(no_word, -numpy.inf, log_probs.astype("float64"))
    log_probs[beams.finished, 0] = 0
    words = numpy.where(beams.finished[..., None], vocab.pad, words)
    lengths = beams.lengths + ~beams.finished
    totals = beams.total[..., None] + log_probs
    scores = (totals / lengths[..., None]).reshape(batch, -1)
    best = numpy.argpartition(-scores, beam_size - 1)[:, :beam_size]
    order = numpy.take_along_axis(scores, best, 1).argsort()[:, ::-1]
    best = numpy.take_along_axis(best, order, 1)  # best first
    parents = best // num_words
    tokens = numpy.take_along_axis(words.reshape(batch, -1), best, 1)
    total = numpy.take_along_axis(totals.reshape(batch, -1), best, 1)
    lengths = numpy.take_along_axis(lengths, parents, 1)
    finished = numpy.take_along_axis(beams.finished, parents, 1)
    finished = finished | (tokens == vocab.eos)
    return Beams(tokens, total, lengths, finished), parents


def read_back(trace, row, vocab):
    """Return the token ids and attention weights that led to a row."""
    ids, attention = [], []
    for rows, tokens, weights in reversed(trace):
        token, row = tokens[row], rows[row]
        if token not in (vocab.pad, vocab.eos):
            ids.append(int(token))
            attention.append(None if weights is None else weights[row, 0])
    return ids[::-1], None if weights is None else attention[::-1]


def beam_search(model, src, src_valid_len, beam_size, max_steps):
    """Search for the target with the best mean log-probability.

    Args:
        model: a trained `Seq2Seq`.
        src: NumPy int32 (batch, source steps).
        src_valid_len: NumPy int32 (batch,).
        beam_size: beginnings to follow for each sentence; 1 is greedy search.
        max_steps: number of tokens after which to give up, one for all or
            (batch,).

    Returns:
        For each sentence its token ids without <eos>; a list of each token's
        attention weights (source steps,), or None without attention; and its
        score.
    """
    batch, vocab = len(src), model.tgt_vocab
    state = model.start_decoding(src, src_valid_len)
    beams = start_beams(batch, beam_size, vocab.bos)
    limits = numpy.broadcast_to(max_steps, batch)[:, None]
    first_rows = numpy.arange(batch)[:, None] * beam_size
    rows = numpy.arange(batch).repeat(beam_size)  # all start from one state
    best = min(beam_size + 2, len(vocab))
    trace = []
    while not beams.finished.all():
        tokens = beams.tokens.reshape(-1, 1).astype("int32")
        moved = rows if beam_size > 1 else None  # a single beam stays in place
        found, weights, state = model.decode(tokens, state, moved, best)
        log_probs, words = (x.reshape(batch, beam_size, best) for x in found)
        beams, parents = extend_beams(beams, words, log_probs, vocab)
        rows = (first_rows + parents).ravel()
        trace.append((rows, beams.tokens.ravel(), weights))
        beams.finished[:] |= len(trace) >= limits
    scores = beams.total[:, 0] / beams.lengths[:, 0]
    return [(*read_back(trace, i * beam_size, vocab), float(scores[i])) for i in range(batch)]


# From notebooks/06_training_vs_prediction.md, section "Translating sentences"
class Translation(NamedTuple):
    """A translated sentence.

    tokens: the target tokens, without <eos>.
    score: mean log-probability of a token, <eos> counted, in nats.
    attention_weights: NumPy (target tokens, source tokens), each row summing
        to 1; None without attention.
    source: the source tokens that the model read, <eos> last.
    unknown: those of them that are not in the vocabulary.
    """

    tokens: list
    score: float
    attention_weights: Any
    source: list
    unknown: list


def read_sentences(model, sentences):
    """Return each sentence as a list of tokens, checked for the model."""
    if model.src_vocab is None:
        raise ValueError("the model has no vocabularies: train it or load it first")
    if isinstance(sentences, str):
        raise TypeError(f"sentences is the string {sentences!r}; pass a list")
    sources = [
        model.src_vocab.tokenize(sentence) if isinstance(sentence, str) else list(sentence)
        for sentence in sentences
    ]
    for i, source in enumerate(sources):
        if len(source) + 1 > model.max_steps:
            raise ValueError(
                f"sentence {i} has {len(source)} tokens, but the model takes "
                f"at most {model.max_steps - 1}; split the sentence, or "
                "raise model.max_steps"
            )
    return sources


def translate(model, sentences, beam_size=1, max_steps=None):
    """Translate sentences by greedy or beam search.

    Args:
        model: a `Seq2Seq` that was trained or loaded.
        sentences: list of strings or of token lists.
        beam_size: beginnings to follow for each sentence; 1 is greedy search.
        max_steps: most target tokens of a sentence; None allows each twice
            its source's tokens and ten more.

    Returns:
        List of `Translation`, in the order of the sentences.

    Raises:
        ValueError: if the model has no vocabularies, a sentence is longer
            than model.max_steps, or beam_size or max_steps is not positive.
    """
    if beam_size < 1 or (max_steps is not None and max_steps < 1):
        raise ValueError(
            f"beam_size is {beam_size} and max_steps is {max_steps}; both must be at least 1"
        )
    sources = read_sentences(model, sentences)
    results = [Translation([], 0.0, None, ["<eos>"], []) for _ in sources]
    order = sorted(
        (i for i, source in enumerate(sources) if source), key=lambda i: len(sources[i])
    )
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        src, src_valid_len = corpora.encode_source([sources[i] for i in rows], model.src_vocab)
        limits = 2 * src_valid_len + 10 if max_steps is None else max_steps
        found = beam_search(model, src, src_valid_len, beam_size, limits)
        for i, (ids, attention, score) in zip(rows, found):
            source = [*sources[i], "<eos>"]
            unknown = [t for t in sources[i] if t not in model.src_vocab]
            if attention is not None:  # without padding
                attention = [weights[: len(source)] for weights in attention]
                attention = numpy.reshape(attention, (len(ids), len(source)))
            tokens = model.tgt_vocab.to_tokens(ids)
            results[i] = Translation(tokens, score, attention, source, unknown)
    unknown = sorted({t for result in results for t in result.unknown})
    if unknown:
        warnings.warn("not in the vocabulary, read as <unk>: " + ", ".join(unknown), stacklevel=2)
    return results


# From notebooks/06_training_vs_prediction.md, section "A model in a file"
def get_config(model):
    """Return what it takes to build a model of the same form again.

    Args:
        model: a `Seq2Seq`.

    Returns:
        Dict of its kind, sizes and options, as `new_model` takes it.
    """
    encoder, decoder = model.encoder, model.decoder
    return dict(
        kind=decoder.kind,
        src_vocab_size=encoder.sizes.vocab_size,
        tgt_vocab_size=decoder.sizes.vocab_size,
        embed_size=decoder.sizes.embed_size,
        num_hiddens=decoder.sizes.num_hiddens,
        num_layers=decoder.sizes.num_layers,
        dropout=decoder.sizes.dropout,
        bidirectional=encoder.bidirectional,
        **decoder.options,
    )


def get_weights(model):
    """Return a model's weights in the exchange format.

    Args:
        model: a `Seq2Seq`.

    Returns:
        Dict of name -> NumPy float32: matrices as (inputs, outputs), a GRU's
        gates in the order r, z, n.
    """
    return model.export_weights()


def set_weights(model, weights):
    """Give a model the weights that `get_weights` returned, in any framework.

    Args:
        model: a `Seq2Seq`.
        weights: dict of name -> NumPy array.

    Raises:
        ValueError: if weights are missing, left over, or of another shape; the
            model is unchanged then.
    """
    exchange.check(weights, get_config(model))
    model.import_weights(weights)


def save_model(model, path):
    """Write a model into a file that every framework can read.

    Args:
        model: a `Seq2Seq` that was trained or loaded.
        path: file to write, by convention *.safetensors.

    Raises:
        ValueError: if the model has no vocabularies yet.
    """
    if model.src_vocab is None:
        raise ValueError("the model has no vocabularies: train it or load it first")
    exchange.save(path, get_weights(model), get_config(model), model.src_vocab, model.tgt_vocab)


# From notebooks/09_transformer.md, section "Positions"
def sinusoids(max_steps, num_hiddens):
    """Return sines and cosines that tell positions apart.

    Args:
        max_steps: number of positions.
        num_hiddens: size of each position's vector.

    Returns:
        NumPy float32 (max_steps, num_hiddens).

    Source: Vaswani et al. 2017, section 3.5.
    """
    steps = numpy.arange(max_steps)[:, None]
    rates = 10000.0 ** -(numpy.arange(0, num_hiddens, 2) / num_hiddens)
    table = numpy.zeros((max_steps, num_hiddens), "float32")
    table[:, 0::2] = numpy.sin(steps * rates)
    table[:, 1::2] = numpy.cos(steps * rates)[:, : num_hiddens // 2]
    return table


def check_steps(shape, first_step, max_steps, num_hiddens):
    """Look whether there are positions for some steps.

    Args:
        shape: (batch, steps, num_hiddens), of the steps; None is unknown.
        first_step: NumPy integers, the positions of first steps, or None
            where a compiled function does not know them.
        max_steps, num_hiddens: shape of the positions.

    Raises:
        ValueError: if there are not; the message names both sizes.
    """
    if shape[-1] != num_hiddens:
        raise ValueError(f"steps have size {shape[-1]}, their positions {num_hiddens}")
    first = numpy.ravel(0 if first_step is None else first_step)
    if (first < 0).any():
        raise ValueError(f"first_step is {first.min()}, which is below 0")
    num_steps = int(first.max(initial=0)) + (shape[1] or 0)
    if num_steps > max_steps:
        raise ValueError(f"{num_steps} steps are more than max_steps, {max_steps}")


# From notebooks/09_transformer.md, section "The class"
def check_sizes(num_hiddens, num_heads, num_layers=1, memory_size=None):
    """Look whether a Transformer, or its attention, can have some sizes.

    Args:
        num_hiddens, num_heads, num_layers, memory_size: those of
            `TransformerDecoder`.

    Raises:
        ValueError: if it can't; the message names them.
    """
    for name, number in ("num_heads", num_heads), ("num_layers", num_layers):
        if not isinstance(number, (int, numpy.integer)) or number < 1:
            raise ValueError(f"{name} is {number}, not a whole number from 1")
    if num_hiddens % num_heads:
        raise ValueError(
            f"num_heads is {num_heads}, which does not divide num_hiddens, {num_hiddens}"
        )
    if memory_size not in (None, num_hiddens):
        raise ValueError(
            f"memory_size is {memory_size}, but a Transformer's encoder has "
            f"outputs of size num_hiddens, {num_hiddens}"
        )


# From notebooks/09_transformer.md, section "Encoder and decoder"
def gather_weights(parts):
    """Return the weights of several parts, by names with a dot.

    Args:
        parts: dict of name -> a module that has `own_weights`.
    """
    return {
        f"{part}.{name}": weight
        for part, module in parts.items()
        for name, weight in module.own_weights().items()
    }


# From notebooks/10_scaling_out.md, section "Four engines"
class ParallelInterface:
    """What a model that several workers train has, in every framework."""

    def __init__(self, model, worker):
        super().__init__(model.encoder, model.decoder)
        self.worker = worker

    def make_steps(self, learning_rate, grad_clip):
        """Make the functions that learn from a worker's `corpora.Part`.

        Args:
            learning_rate: function of a step's number, from 0: that of Adam.
            grad_clip: largest global norm of the gradient.

        Returns:
            `Steps`. Losses are those of the whole batch.
        """
        steps = super().make_steps(learning_rate, grad_clip)
        return steps._replace(
            train=lambda part: steps.train(part.mine),
            evaluate=lambda part: steps.evaluate(part.mine),
        )
