"""The command line: `python -m d2l_ext train | translate | explore | info`.

A model that one framework has trained translates in every other: the file is all they share. The
commands import a framework only once everything else is known to be right.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import math
import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path

from d2l_ext import (
    checkpoints,
    compat,
    corpora,
    files,
    metrics,
    plots,
    textfiles,
    views,
    vocab,
    weights,
    workers,
)
from d2l_ext.workers import LIBRARIES  # in the order in which `translate` looks for one

DESCRIPTION = """\
Train a translator in one framework, translate with it in any other.

The model is that of the chapters: an encoder, a decoder with Bahdanau's
attention, and a file that PyTorch, JAX, TensorFlow and MXNet all read.
"""
EXAMPLES = """\
examples:
  python -m d2l_ext train --framework jax --out m.safetensors
  python -m d2l_ext translate --framework mxnet m.safetensors "the dog sleeps ."
  python -m d2l_ext info m.safetensors

`python -m d2l_ext COMMAND --help` lists a command's options.
"""
TRAIN = """\
Train a model and write it to a file.

As it stands this takes a minute or two on two cores: two passes over 20,000
sentences of the built-in grammar, then the BLEU score on sentences that it has
not seen. The same seed starts from the same weights in every framework.
"""
TRAIN_EXAMPLES = """\
examples:
  python -m d2l_ext train --framework pytorch --out m.safetensors
  python -m d2l_ext train --framework jax --corpus fra.txt --max-steps 20 \\
      --num-pairs 50000 --epochs 5 --out fra.safetensors
  python -m d2l_ext train --framework pytorch --corpus cmn.txt --reverse \\
      --max-steps 30 --epochs 8 --out from-chinese.safetensors
  python -m d2l_ext train --framework pytorch --corpus train.en train.fr \\
      --bad-lines skip --checkpoint so-far --out m.safetensors
  python -m d2l_ext train --framework jax --workers 2 --checkpoint so-far \\
      --out m.safetensors
"""
PREPARE = """\
Write a corpus into a folder that many workers can read, each its own part.

`train --arrays FOLDER` then trains on it. See docs/cluster.md.
"""
PREPARE_EXAMPLES = """\
example:
  python -m d2l_ext prepare --corpus train.en train.fr --out arrays
"""
TRANSLATE = """\
Translate sentences and print one translation a line, nothing else.

Sentences are arguments, or lines on standard input. An empty line gives an
empty line.
"""
TRANSLATE_EXAMPLES = """\
examples:
  python -m d2l_ext translate m.safetensors "the dog sleeps ." "where is paul ?"
  echo "the dog sleeps ." | python -m d2l_ext translate m.safetensors
  python -m d2l_ext translate --framework mxnet --beam 4 \\
      --show-attention out.html m.safetensors < sentences.txt
"""
EXPLORE = """\
Write a page on which a model runs in the browser, all its numbers shown.

It is one file, which can be mailed and opened without a network. It takes
models with Bahdanau's decoder and Transformers. This needs no framework.

The page offers sentences whose truth it knows: those of the grammar or, with
the --corpus and the other options that `train` was given, held-out ones of
yours.
"""
EXPLORE_EXAMPLES = """\
examples:
  python -m d2l_ext explore m.safetensors --out page.html
  python -m d2l_ext explore fra.safetensors --corpus fra.txt --max-steps 20 \\
      --num-pairs 50000 --out page.html
"""
INFO = "Say what a model file holds. This needs no framework."
INFO_EXAMPLES = """\
example:
  python -m d2l_ext info m.safetensors
"""

OF_KIND = {  # options of `train` that models of one kind have
    "global": ("--score", "--input-feeding", "--no-input-feeding", "--local", "--window"),
    "transformer": ("--heads", "--ffn-num-hiddens", "--norm-first", "--no-norm-first"),
}


def main(arguments=None):
    """Run a command.

    Args:
        arguments: list of strings; None for those of the process.

    Returns:
        The exit status: 0, or 2 after an error, or 130 after an interrupt.
    """
    options = _parse(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("d2l_ext: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads the output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except workers.WorkerError as error:
        print(error.log, file=sys.stderr, end="\n" if error.log else "")
        goes_on = "" if options.checkpoint is None else "; the same command goes on"
        print(f"d2l_ext: error: {error.message}{goes_on}", file=sys.stderr)
        return 2
    except (ImportError, OSError, ValueError) as error:
        print("d2l_ext: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


# The options ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others here."""

    def error(self, message):
        self.exit(2, f"d2l_ext: error: {message}; see {self.prog} --help\n")


def _parse(arguments):
    """The options of a command line."""
    parser = _parser()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options, rest = parser.parse_known_args(arguments)
    options.arguments = arguments
    # argparse takes no further sentences behind an option
    if rest and options.run is _translate and not any(len(r) > 1 and r[0] == "-" for r in rest):
        options.sentences += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser():
    """The commands and their options."""
    shape = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = _Parser(prog="python -m d2l_ext", description=DESCRIPTION, epilog=EXAMPLES, **shape)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train", help="train a model", description=TRAIN, epilog=TRAIN_EXAMPLES, **shape
    )
    train.set_defaults(run=_train)
    add = train.add_argument
    add("--framework", required=True, choices=LIBRARIES, help="what to train in")
    add("--out", required=True, type=Path, metavar="FILE", help="the file, *.safetensors")
    add(
        "--arrays",
        type=Path,
        metavar="FOLDER",
        help="train on what `prepare` has written there, in place of a corpus",
    )
    _add_corpus_options(add)
    numbers = (
        ("--epochs", _count, 2, "passes over the training pairs"),
        ("--batch-size", _count, 64, "pairs in a step"),
        ("--lr", _rate, 0.005, "largest learning rate; it falls to 0"),
        ("--num-hiddens", _count, 128, "size of a GRU layer's state, or of a Transformer's step"),
        ("--num-layers", _count, 1, "layers on either side"),
        ("--dropout", _probability, 0.0, "between layers and on attention"),
    )
    _add_numbers(add, numbers)
    add(
        "--warmup",
        type=_whole,
        metavar="N",
        help="steps in which the learning rate first rises (default: 0; for a Transformer 200)",
    )
    add(
        "--embed-size",
        type=_count,
        metavar="N",
        help="length of an embedding (default: 64; that of a Transformer is --num-hiddens)",
    )
    add(
        "--checkpoint",
        type=Path,
        metavar="FOLDER",
        help="keep there where the training is, and go on from there if it was interrupted",
    )
    add(
        "--checkpoint-every",
        type=_count,
        default=500,
        metavar="N",
        help="steps between two checkpoints (default: %(default)s)",
    )
    add(
        "--resume",
        action="store_true",
        help="only go on from --checkpoint: an error if there is nothing to go on from",
    )
    add(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="processes on this machine that train together; a batch is shared among them "
        "(default: %(default)s)",
    )
    add(
        "--worker",
        action="store_true",
        help="be one of several workers, as the framework's own variables say (docs/cluster.md)",
    )
    add(
        "--bidirectional",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether the encoder reads in both directions (default: it does)",
    )
    add(
        "--kind",
        choices=weights.KINDS,
        default="attention",
        help="the decoder: without attention, Bahdanau's, Luong's, or that of a Transformer "
        "(default: %(default)s)",
    )
    luong = train.add_argument_group("options of --kind global")
    luong.add_argument(
        "--score",
        choices=weights.SCORES,
        default="general",
        help="how a state is compared with the source's (default: %(default)s)",
    )
    luong.add_argument(
        "--input-feeding",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a step is fed the attentional vector before it (default: it is)",
    )
    luong.add_argument(
        "--local",
        choices=weights.ALIGNMENTS,
        help="look at a window of the source (default: at all of it)",
    )
    luong.add_argument(
        "--window",
        type=_count,
        default=10,
        metavar="N",
        help="states on either side that --local sees (default: %(default)s)",
    )

    transformer = train.add_argument_group("options of --kind transformer")
    transformer.add_argument(
        "--heads",
        dest="num_heads",
        type=_count,
        default=4,
        metavar="N",
        help="heads of each attention, which divide --num-hiddens (default: %(default)s)",
    )
    transformer.add_argument(
        "--ffn-num-hiddens",
        type=_count,
        default=256,
        metavar="N",
        help="hidden units of the feed-forward networks (default: %(default)s)",
    )
    transformer.add_argument(
        "--norm-first",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether layers are normalized before and not after (default: before)",
    )

    prepare = commands.add_parser(
        "prepare",
        help="write a corpus for many workers",
        description=PREPARE,
        epilog=PREPARE_EXAMPLES,
        **shape,
    )
    prepare.set_defaults(run=_prepare)
    prepare.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="the folder; it is made"
    )
    _add_corpus_options(prepare.add_argument)

    translate = commands.add_parser(
        "translate",
        help="translate sentences",
        description=TRANSLATE,
        epilog=TRANSLATE_EXAMPLES,
        **shape,
    )
    translate.set_defaults(run=_translate)
    add = translate.add_argument
    add("model", type=Path, help="a file that `train` or save_model wrote, in any framework")
    add(
        "sentences",
        nargs="*",
        metavar="sentence",
        help="what to translate; none, or -, reads standard input",
    )
    add(
        "--framework",
        choices=LIBRARIES,
        help="what to translate in (default: the first of these that is installed)",
    )
    add(
        "--beam",
        type=_count,
        default=1,
        metavar="N",
        help="beginnings to follow; 1 is greedy search (default: %(default)s)",
    )
    add(
        "--max-steps",
        type=_count,
        metavar="N",
        help="most tokens of a translation (default: twice the sentence's and ten more)",
    )
    add(
        "--scores",
        action="store_true",
        help="put the mean log-probability of a token and a tab before each translation",
    )
    add(
        "--show-attention",
        type=Path,
        metavar="FILE",
        help="write the attention weights too: to *.html, a page to point around in, or to *.png, "
        "a picture; several sentences become *-1.png, *-2.png and so on",
    )

    explore = commands.add_parser(
        "explore",
        help="write a page on which a model runs",
        description=EXPLORE,
        epilog=EXPLORE_EXAMPLES,
        **shape,
    )
    explore.set_defaults(run=_explore)
    add = explore.add_argument
    add("model", type=Path, help="a file that `train` or save_model wrote, in any framework")
    add("--out", type=Path, required=True, metavar="FILE", help="where to write the page")
    _add_corpus_options(add)

    info = commands.add_parser(
        "info", help="say what a file holds", description=INFO, epilog=INFO_EXAMPLES, **shape
    )
    info.set_defaults(run=_info)
    info.add_argument("model", type=Path, help="a file that `train` or save_model wrote")
    return parser


def _add_corpus_options(add):
    """Add what `_load_corpus` reads."""
    add(
        "--corpus",
        default=["grammar"],
        nargs="+",
        metavar="CORPUS",
        help="'grammar', the built-in sentences (default); 'fra-eng', which is downloaded; a "
        "file of source<TAB>target lines, or a folder of such files; or two files, of which line "
        "n of one translates line n of the other",
    )
    add(
        "--tokens",
        choices=vocab.KINDS,
        help="what sentences are cut into (default: words of the grammar, subwords of a file)",
    )
    add(
        "--vocab-size",
        type=_count,
        metavar="N",
        help="most subwords of a side (default: 4000, or fewer if the corpus is small)",
    )
    add("--joint", action="store_true", help="share one vocabulary of subwords between both sides")
    add("--keep-case", action="store_true", help="keep capital letters in subwords")
    add("--reverse", action="store_true", help="translate the second column into the first")
    add(
        "--languages",
        nargs=2,
        default=(None, None),
        metavar=("SOURCE", "TARGET"),
        help="codes such as en and zh, for scores and spaces (default: guessed by script)",
    )
    add(
        "--bad-lines",
        choices=textfiles.BAD_LINES,
        default="error",
        help="what becomes of lines that are no pair (default: %(default)s)",
    )
    add(
        "--num-pairs",
        type=_count,
        metavar="N",
        help="pairs (default: 20,000 of the grammar, all of a file)",
    )
    numbers = (
        ("--max-steps", _count, 16, "longest sentence, in tokens with <eos>"),
        ("--seed", _whole, 0, "decides corpus, first weights and order"),
    )
    _add_numbers(add, numbers)


def _add_numbers(add, numbers):
    """Add options that are numbers: name, type, default and meaning of each."""
    for option, number, default, what in numbers:
        add(option, type=number, default=default, metavar="N", help=f"{what} (default: {default})")


def _count(text):
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def _whole(text):
    """A whole number from 0 that every framework takes as a seed."""
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 to {2**31 - 1}")
    return int(text)


def _rate(text):
    """A positive number."""
    return _between(text, lambda x: 0 < x < math.inf, "a positive number")


def _probability(text):
    """A number from 0 to below 1."""
    return _between(text, lambda x: 0 <= x < 1, "a number from 0 to below 1")


def _between(text, fits, expected):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not fits(number):
        raise argparse.ArgumentTypeError(f"'{text}' is not {expected}")
    return number


# Commands ---------------------------------------------------------------------------------------


def _train(options):
    for kind, names in OF_KIND.items():
        for word in (argument.partition("=")[0] for argument in options.arguments):
            given = len(word) > 2 and any(name.startswith(word) for name in names)
            if given and kind != options.kind:
                raise ValueError(f"{word} is an option of --kind {kind}, not of {options.kind}")
    if options.warmup is None:
        options.warmup = 200 if options.kind == "transformer" else 0
    _check_folder(options.out)
    kept = options.checkpoint and options.checkpoint / checkpoints.FILE
    if options.resume and not (kept and kept.exists()):
        raise ValueError(
            "--resume: there is nothing to go on from; name with --checkpoint the folder of a "
            "training that was interrupted, or leave --resume out"
        )
    sys.stdout.reconfigure(line_buffering=True)  # a line an epoch, in a pipe too
    if options.worker:
        workers.check_variables(options.framework)
        with workers.started():
            _train_together(options)
        return
    if options.workers > 1:
        _launch(options)
        return
    d2l = _library(options.framework)
    corpus = _load_corpus(options)
    print(corpus)
    model = _new_model(d2l, corpus, options)
    _learn(d2l, model, _WithProgress(corpus, options.epochs, options.seed), options)
    _finish(d2l, model, corpus, options)


def _launch(options):
    """Read the corpus once, and train with workers that each read their share of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    compat.check_installed(LIBRARIES[options.framework])
    with tempfile.TemporaryDirectory(prefix="d2l_ext-") as folder:
        arrays = options.arrays
        if arrays is None:
            arrays = Path(folder) / "arrays"
            corpora.save_arrays(_load_corpus(options), arrays)
        # What a user got wrong is said here, in one line, and not by a worker
        weights.expected_shapes(_configuration(corpora.load_arrays(arrays), options))
        command = ["-m", "d2l_ext", *options.arguments, "--worker", "--arrays", str(arrays)]
        workers.launch(options.framework, command, options.workers)


def _train_together(options):
    """Train as one of several workers; the first of them speaks and writes for all."""
    d2l = _library(options.framework)
    mxnet = options.framework == "mxnet"
    worker = workers.patient(d2l.Worker)() if mxnet else d2l.Worker()
    leads = worker.rank == 0
    with contextlib.ExitStack() as stack:
        if not leads:
            silence = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
        corpus = _load_corpus(options)
        if leads:
            print(corpus)  # which counts what is unknown, and reads for that
        model = d2l.ParallelSeq2Seq(_new_model(d2l, corpus, options), worker)
        share = corpora.Share(corpus, worker.rank, worker.size)
        share = _WithProgress(share, options.epochs, options.seed, leads)
        _learn(d2l, model, share, options, leads)
        worker.close()
        if leads:
            _finish(d2l, model, corpus, options)


def _learn(d2l, model, corpus, options, leads=True):
    """Train a model."""
    checkpoint = None
    if options.checkpoint is not None:
        checkpoint = checkpoints.Checkpoint(options.checkpoint, options.checkpoint_every, leads)
        if checkpoint.path.exists():
            print(f"going on from {checkpoint.path}")
    history = d2l.train_seq2seq(
        model,
        corpus,
        options.epochs,
        options.batch_size,
        options.lr,
        seed=options.seed,
        warmup=options.warmup,
        checkpoint=checkpoint,
    )
    if not math.isfinite(history[-1].train_loss):
        raise ValueError(
            f"the loss has become {history[-1].train_loss}, so {options.out} was not written; "
            f"try a learning rate below {options.lr:g}"
        )


def _finish(d2l, model, corpus, options):
    """Write a trained model, and say how well it translates."""
    d2l.save_model(model, options.out)
    model.max_steps = max(model.max_steps, corpus.max_steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # held-out sentences may have unknown words
        translations = d2l.translate(model, [pair.source for pair in corpus.test])
    join, language = corpus.tgt_vocab.detokenize, corpus.tgt_vocab.language
    with _warnings_as_lines():
        scores = metrics.score_texts(
            [join(translation.tokens) for translation in translations],
            [join(pair.target) for pair in corpus.test],
            language,
        )
    print(
        f"BLEU {scores.bleu:.1f} ({scores.tokenizer}), chrF {scores.chrf:.1f} on "
        f"{len(corpus.test)} held-out sentences"
    )
    print(f"{options.out}: {_size(options.out)}")


def _prepare(options):
    corpus = _load_corpus(options)
    print(corpus)
    corpora.save_arrays(corpus, options.out)


def _load_corpus(options):
    """The corpus that the options ask for."""
    if getattr(options, "arrays", None) is not None:
        return corpora.load_arrays(options.arrays)
    with _warnings_as_lines():
        return corpora.load(
            options.corpus[0] if len(options.corpus) == 1 else options.corpus,
            options.num_pairs,
            options.max_steps,
            options.seed,
            tokens=options.tokens,
            vocab_size=options.vocab_size,
            joint=options.joint,
            lower=not options.keep_case,
            reverse=options.reverse,
            languages=tuple(options.languages),
            bad_lines=options.bad_lines,
        )


@contextlib.contextmanager
def _warnings_as_lines():
    """Let what is warned of become lines on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        print(f"d2l_ext: warning: {warning.message}", file=sys.stderr)


def _new_model(d2l, corpus, options):
    """A model that has not learned anything yet."""
    config = _configuration(corpus, options)
    model = d2l.new_model(config)
    d2l.set_weights(model, weights.draw(config, options.seed))
    return model


def _configuration(corpus, options):
    """The sizes of the model that the options ask for, and what else makes it."""
    config = {
        "src_vocab_size": len(corpus.src_vocab),
        "tgt_vocab_size": len(corpus.tgt_vocab),
    }
    for key in (*weights.CONFIG_KEYS, *weights.OPTIONS[options.kind]):
        config.setdefault(key, getattr(options, key, None))
    if config["embed_size"] is None:
        config["embed_size"] = 64 if options.kind != "transformer" else options.num_hiddens
    return config


class _WithProgress:
    """A corpus whose training batches move a bar on stderr, if that is a terminal.

    Args:
        corpus: what is read.
        num_epochs, seed: the training's, which gives each epoch the seed after the last one's.
        shown: False for the workers that do not speak.
    """

    def __init__(self, corpus, num_epochs, seed, shown=True):
        self.corpus, self.num_epochs, self.seed, self.shown = corpus, num_epochs, seed, shown

    def __getattr__(self, name):
        return getattr(self.corpus, name)

    def batches(self, split, batch_size, **options):
        batches = self.corpus.batches(split, batch_size, **options)
        if split != "train":
            return batches
        from tqdm import tqdm

        return tqdm(
            batches,
            desc=f"epoch {options['seed'] - self.seed + 1}/{self.num_epochs}",
            total=math.ceil(len(self.corpus.train) / batch_size),
            unit="batch",
            leave=False,
            file=workers.terminal(),
            disable=None if self.shown else True,
        )


def _translate(options):
    picture = options.show_attention
    if picture is not None:
        if picture.suffix not in (".html", ".png"):
            raise ValueError(f"--show-attention {picture}: its name must end in .html or .png")
        _check_folder(picture)
    _, config, src_vocab, tgt_vocab = weights.load(options.model)
    if picture is not None and config["kind"] == "plain":
        raise ValueError(
            f"{options.model} holds a {config['kind']} model, which has no attention to show; "
            "train one with --kind attention"
        )
    sentences = _sentences(options.sentences)
    d2l = _library(options.framework or _first_installed())
    model = d2l.load_model(options.model)
    for number, sentence in enumerate(sentences, start=1):
        num_tokens = len(src_vocab.tokenize(sentence))
        if num_tokens >= model.max_steps:
            raise ValueError(
                f"sentence {number} has {num_tokens} tokens, but the model takes at most "
                f"{model.max_steps - 1}; split the sentence"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown words are said below, sentence by sentence
        results = d2l.translate(model, sentences, options.beam, options.max_steps)
    for number, result in enumerate(results, start=1):
        if result.unknown:
            print(
                f"d2l_ext: warning: sentence {number}: not in the vocabulary, read as <unk>:",
                ", ".join(result.unknown),
                file=sys.stderr,
            )
        score = f"{result.score:.4f}\t" if options.scores else ""
        print(score + tgt_vocab.detokenize(result.tokens))
    if picture is not None:
        results = [_of_words(result, src_vocab, tgt_vocab) for result in results]
        _show_attention(results, picture)


def _sentences(arguments):
    """The sentences among the arguments or, if there are none, on standard input."""
    if arguments not in ([], ["-"]):
        return arguments
    if sys.stdin.isatty():
        print(
            "d2l_ext: type sentences, one a line; Ctrl-D ends them and starts the translation",
            file=sys.stderr,
        )
    try:
        return [line.rstrip("\r\n") for line in sys.stdin]
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input is not {error.encoding}: {error}") from error


def _of_words(result, src_vocab, tgt_vocab):
    """A translation whose tokens are whole words, whatever they were cut into, for a picture."""
    if not result.tokens:
        return result
    spans = src_vocab.words(result.source), tgt_vocab.words(result.tokens)
    return result._replace(
        attention_weights=vocab.join_weights(result.attention_weights, *spans),
        source=[src_vocab.detokenize(result.source[start:end]) for start, end in spans[0]],
        tokens=[tgt_vocab.detokenize(result.tokens[start:end]) for start, end in spans[1]],
    )


def _show_attention(results, path):
    """Write a page, or a picture for each sentence; empty translations have none."""
    shown = {number: r for number, r in enumerate(results, start=1) if r.tokens}
    if not shown:
        raise ValueError(f"no sentence has a translation, so {path} was not written")
    if path.suffix == ".html":
        views.attention(
            [views.Sentence(r.attention_weights, r.source, r.tokens) for r in shown.values()]
        ).save(path)
        return
    for number, result in shown.items():
        picture = io.BytesIO()
        with _warnings_as_lines():
            figure = plots.attention(result.attention_weights, result.source, result.tokens)
            figure.savefig(picture, format="png")
        name = path if len(results) == 1 else path.with_stem(f"{path.stem}-{number}")
        files.write_whole(name, picture.getvalue())


def _explore(options):
    _check_folder(options.out)
    if options.corpus == ["grammar"] and options.tokens is None:
        examples = views.grammar_examples()  # with those that the page speaks of
    else:
        examples = _load_corpus(options).test[: views.NUM_EXAMPLES]
    page = views.explorer(options.model, examples)
    page.save(options.out)
    known = f"{len(page.examples)} of {len(examples)} examples"
    print(f"{options.out}: {_size(options.out)}, {known}")
    if not page.examples:
        print(
            "d2l_ext: warning: the model does not know the words of the corpus's sentences; give "
            "--corpus and the other options with which it was trained",
            file=sys.stderr,
        )


def _info(options):
    arrays, config, src_vocab, tgt_vocab = weights.load(options.model)
    encoder = "bidirectional" if config["bidirectional"] else "unidirectional"
    own = [f"{key} {config[key]}" for key in weights.OPTIONS[config["kind"]]]
    facts = {
        "file": f"{options.model}, {_size(options.model)}",
        "model": ", ".join([f"{config['kind']} decoder", *own, f"{encoder} encoder"]),
        "sizes": f"embeddings {config['embed_size']}, hiddens {config['num_hiddens']}, "
        f"layers {config['num_layers']}, dropout {config['dropout']:g}",
        "parameters": f"{sum(array.size for array in arrays.values()):,}",
        "source": _sample(src_vocab),
        "target": _sample(tgt_vocab),
    }
    for name, fact in facts.items():
        print(f"{name:12}{fact}")


def _sample(known):
    kind, fixed = "", len(corpora.SPECIAL_TOKENS)
    if known.kind != "words":
        kind, fixed = f" ({known.kind})", fixed + len(vocab.BYTES)
    words = known.tokens[fixed:]
    return f"{len(known):,} tokens{kind}: {' '.join(words[:8])}" + (
        " ..." if len(words) > 8 else ""
    )


# What commands share ----------------------------------------------------------------------------


def _library(framework):
    """The module of `d2l_ext` for a framework."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return importlib.import_module(f"d2l_ext.{LIBRARIES[framework]}")


def _first_installed():
    """The first framework that is there; without any, PyTorch, whose error tells what to do."""
    found = (name for name, package in LIBRARIES.items() if importlib.util.find_spec(package))
    return next(found, "pytorch")


def _check_folder(path):
    """Find out now, not after the training, whether a file can be written."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to the folder {str(path.parent)!r} ({error.strerror}); make it, or "
            "name a file elsewhere"
        ) from error


def _size(path):
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


if __name__ == "__main__":
    sys.exit(main())
