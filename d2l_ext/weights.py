"""The exchange format: one safetensors file that carries a trained model between frameworks.

It holds float32 matrices as (inputs, outputs), GRU gates in the order r, z, n, the configuration
and both vocabularies, which know how to cut text into their tokens. How a framework's layers map
to these names is the frameworks' business.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2l_ext import files, vocab
from d2l_ext.vocab import Vocab

FORMAT_VERSION = 2  # 1 had lists of words where 2 has whole vocabularies
READABLE = ("1", "2")
PRETRAINED = Path(__file__).with_name("pretrained")
OPTIONS = {  # what a configuration has beside CONFIG_KEYS, for each kind of decoder
    "plain": (),
    "attention": (),
    "global": ("score", "input_feeding", "local", "window"),
    "transformer": ("num_heads", "ffn_num_hiddens", "norm_first"),
}
KINDS = tuple(OPTIONS)
SCORES = ("dot", "general", "concat")
ALIGNMENTS = ("monotonic", "predictive")
CONFIG_KEYS = (
    "kind",
    "src_vocab_size",
    "tgt_vocab_size",
    "embed_size",
    "num_hiddens",
    "num_layers",
    "dropout",
    "bidirectional",
)


def expected_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name every array of a model and give its shape.

    Args:
        config: dict with the keys `CONFIG_KEYS` and the `OPTIONS` of its kind. `kind` is "plain"
            (the context is the encoder's last state, in every step), "attention" (Bahdanau et al.
            2015), "global" (Luong et al. 2015) or "transformer" (Vaswani et al. 2017), whose
            encoder has as many layers as its decoder. The options of "global" are `score`: "dot",
            "general" or "concat"; `input_feeding`: whether the decoder's first layer is fed the
            attentional vector of the step before; `local`: None, "monotonic" or "predictive";
            `window`: states on either side of the place that local attention looks at. Those of
            "transformer" are `num_heads`; `ffn_num_hiddens`: hidden units of a feed-forward
            network; and `norm_first`: whether layers are normalized before or after. Its
            `embed_size` is `num_hiddens`, and its encoder reads in both directions.

    Returns:
        Dict from name to shape. A GRU layer has `w_x` (inputs, 3 * num_hiddens), `w_h`
        (num_hiddens, 3 * num_hiddens), `b_x` and `b_h` (3 * num_hiddens,). The decoder's first
        layer has as inputs the context or the attentional vector, if any, then the embedding;
        `attentional.w` has the context, then the state. The columns of a Transformer's `w_q`,
        `w_k` and `w_v` belong to its heads one after the other, as do the rows of `w_o`.

    Raises:
        ValueError: if a key is missing or unknown, or a value is not allowed.
    """
    _check_configuration(config)
    if config["kind"] == "transformer":
        return _transformer_shapes(config)
    kind, embed_size, num_hiddens = config["kind"], config["embed_size"], config["num_hiddens"]
    bidirectional = config["bidirectional"]
    shapes = {}

    def gru(prefix, inputs):
        shapes[f"{prefix}.w_x"] = (inputs, 3 * num_hiddens)
        shapes[f"{prefix}.w_h"] = (num_hiddens, 3 * num_hiddens)
        shapes[f"{prefix}.b_x"] = (3 * num_hiddens,)
        shapes[f"{prefix}.b_h"] = (3 * num_hiddens,)

    encoder_outputs = (2 if bidirectional else 1) * num_hiddens
    shapes["encoder.embedding"] = (config["src_vocab_size"], embed_size)
    for layer in range(config["num_layers"]):
        inputs = embed_size if layer == 0 else encoder_outputs
        gru(f"encoder.gru.{layer}", inputs)
        if bidirectional:
            gru(f"encoder.gru.{layer}.backward", inputs)
            shapes[f"encoder.init.{layer}.w"] = (num_hiddens, num_hiddens)
    score = "concat" if kind == "attention" else config.get("score")
    if score == "general":
        shapes["decoder.attention.w"] = (num_hiddens, encoder_outputs)
    if score == "concat":
        shapes["decoder.attention.w_q"] = (num_hiddens, num_hiddens)
        shapes["decoder.attention.w_k"] = (encoder_outputs, num_hiddens)
        shapes["decoder.attention.w_v"] = (num_hiddens, 1)
    if config.get("local") == "predictive":
        shapes["decoder.attention.w_p"] = (num_hiddens, num_hiddens)
        shapes["decoder.attention.v_p"] = (num_hiddens, 1)
    fed = {"plain": num_hiddens, "attention": encoder_outputs, "global": 0}[kind]
    if kind == "global":
        shapes["decoder.attentional.w"] = (encoder_outputs + num_hiddens, num_hiddens)
        fed = num_hiddens if config["input_feeding"] else 0
    shapes["decoder.embedding"] = (config["tgt_vocab_size"], embed_size)
    for layer in range(config["num_layers"]):
        gru(f"decoder.gru.{layer}", fed + embed_size if layer == 0 else num_hiddens)
    shapes["decoder.dense.w"] = (num_hiddens, config["tgt_vocab_size"])
    shapes["decoder.dense.b"] = (config["tgt_vocab_size"],)
    return shapes


def _transformer_shapes(config):
    """`expected_shapes` of a Transformer."""
    width, inner = config["num_hiddens"], config["ffn_num_hiddens"]
    shapes = {}

    def norm(name):
        shapes[f"{name}.gain"] = shapes[f"{name}.bias"] = (width,)

    for part, attentions in (("encoder", ("self",)), ("decoder", ("self", "cross"))):
        vocab_size = config["src_vocab_size" if part == "encoder" else "tgt_vocab_size"]
        shapes[f"{part}.embedding"] = (vocab_size, width)
        for layer in range(config["num_layers"]):
            block = f"{part}.block.{layer}"
            for attention in attentions:
                for matrix in ("w_q", "w_k", "w_v", "w_o"):
                    shapes[f"{block}.{attention}.{matrix}"] = (width, width)
            shapes[f"{block}.ffn.w_1"], shapes[f"{block}.ffn.b_1"] = (width, inner), (inner,)
            shapes[f"{block}.ffn.w_2"], shapes[f"{block}.ffn.b_2"] = (inner, width), (width,)
            for i in range(len(attentions) + 1):
                norm(f"{block}.norm.{i}")
        if config["norm_first"]:
            norm(f"{part}.norm")
    shapes["decoder.dense.w"] = (width, config["tgt_vocab_size"])
    shapes["decoder.dense.b"] = (config["tgt_vocab_size"],)
    return shapes


def draw(config: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Draw what a model starts from, the same for every framework.

    Matrices are Glorot uniform, embeddings standard normal, biases 0, and the gains of layer
    normalization 1.

    Args:
        config: as for `expected_shapes`.
        seed: an integer from 0.

    Returns:
        Dict from name to NumPy float32 array.
    """
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in expected_shapes(config).items():
        if len(shape) == 1:
            array = np.full(shape, float(name.endswith(".gain")))
        elif name.endswith("embedding"):
            array = rng.normal(size=shape)
        else:
            limit = math.sqrt(6 / sum(shape))
            array = rng.uniform(-limit, limit, shape)
        arrays[name] = array.astype(np.float32)
    return arrays


def check(arrays: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Compare arrays with what a configuration asks for.

    Args:
        arrays: dict from name to array.
        config: as for `expected_shapes`.

    Raises:
        ValueError: if arrays are missing, unknown or of another shape; it names them.
    """
    shapes = expected_shapes(config)
    problems = [f"{name} is missing" for name in shapes if name not in arrays]
    problems += [f"{name} is unknown" for name in arrays if name not in shapes]
    for name, shape in shapes.items():
        if name in arrays and tuple(np.shape(arrays[name])) != shape:
            problems.append(f"{name} has shape {tuple(np.shape(arrays[name]))}, expected {shape}")
    if problems:
        raise ValueError("weights do not fit the configuration: " + "; ".join(problems))


def pretrained(framework: str) -> Path:
    """Find a small model of the corpus `grammar` that comes with the library.

    Args:
        framework: "jax" or "pytorch": what it was trained with. Every framework loads either.
            "transformer" is that of chapter 09, trained with PyTorch.

    Returns:
        `pathlib.Path` of the file. `make models` writes it.

    Raises:
        ValueError: if that framework has trained none; the message names those that have.
    """
    files = {path.stem: path for path in PRETRAINED.glob("*.safetensors")}
    if framework not in files:
        raise ValueError(f"{framework!r} has trained no model here; there are {sorted(files)}")
    return files[framework]


def save(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    config: Mapping[str, Any],
    src_vocab: Vocab,
    tgt_vocab: Vocab,
) -> None:
    """Write a model to a file, which is replaced only when the new one is complete.

    Args:
        path: where to write; by custom it ends in `.safetensors`.
        arrays: dict from name to array, as `expected_shapes` says; stored as float32.
        config: as for `expected_shapes`.
        src_vocab: `corpora.Vocab` of the sources.
        tgt_vocab: `corpora.Vocab` of the targets.

    Raises:
        ValueError: if arrays, vocabularies and configuration do not fit each other.
    """
    check(arrays, config)
    _check_vocabularies(config, src_vocab, tgt_vocab)
    metadata = {
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(config),
        "src_vocab": src_vocab.to_json(),
        "tgt_vocab": tgt_vocab.to_json(),
    }
    arrays = {
        name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()
    }
    files.write_arrays(path, arrays, metadata)


def load(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any], Vocab, Vocab]:
    """Read a file that `save` has written, in whatever framework.

    Args:
        path: the file.

    Returns:
        arrays (dict from name to NumPy float32 array), config (dict), src_vocab and tgt_vocab
        (`corpora.Vocab`).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated or no weights file, has another format version, or its
            parts do not fit each other.
    """
    from safetensors import SafetensorError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {str(path)!r}; save_model writes one")
    try:
        arrays, metadata = files.read_arrays(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no complete safetensors file ({error}); save the model again"
        ) from error
    version = metadata.get("format_version")
    if version not in READABLE:
        found = "no format version" if version is None else f"format version {version}"
        raise ValueError(
            f"{path} has {found}; this release of d2l_ext reads versions {' and '.join(READABLE)}"
        )
    try:
        config = json.loads(metadata["config"])
        src_vocab, tgt_vocab = (vocab.from_json(metadata[k]) for k in ("src_vocab", "tgt_vocab"))
        check(arrays, config)
        _check_vocabularies(config, src_vocab, tgt_vocab)
    except KeyError as error:
        raise ValueError(f"{path} has no {error.args[0]} in its metadata") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return arrays, config, src_vocab, tgt_vocab


def _check_configuration(config):
    kind = config.get("kind")
    if "kind" in config and kind not in KINDS:
        raise ValueError(f"configuration: kind is {kind!r}; expected one of {KINDS}")
    keys = CONFIG_KEYS + OPTIONS.get(kind, ())
    missing = [key for key in keys if key not in config]
    unknown = [key for key in config if key not in keys]
    if missing or unknown:
        raise ValueError(f"configuration: missing keys {missing}, unknown keys {unknown}")
    sizes = ["src_vocab_size", "tgt_vocab_size", "embed_size", "num_hiddens", "num_layers"]
    sizes += {"global": ["window"], "transformer": ["num_heads", "ffn_num_hiddens"]}.get(kind, [])
    for key in sizes:
        if not isinstance(config[key], int) or config[key] < 1:
            raise ValueError(
                f"configuration: {key} is {config[key]!r}; expected a positive integer"
            )
    allowed_values = {
        "global": {
            "score": SCORES,
            "input_feeding": (False, True),
            "local": (None, *ALIGNMENTS),
        },
        "transformer": {
            "norm_first": (False, True),
            "bidirectional": (True,),
            "embed_size": (config["num_hiddens"],),
        },
    }
    for key, allowed in allowed_values.get(kind, {}).items():
        if config[key] not in allowed:
            raise ValueError(f"configuration: {key} is {config[key]!r}; expected one of {allowed}")
    if kind == "transformer" and config["num_hiddens"] % config["num_heads"]:
        raise ValueError(
            f"configuration: num_heads is {config['num_heads']}, which does not divide "
            f"num_hiddens, {config['num_hiddens']}"
        )


def _check_vocabularies(config, src_vocab, tgt_vocab):
    for key, known in (("src_vocab_size", src_vocab), ("tgt_vocab_size", tgt_vocab)):
        if len(known) != config[key]:
            raise ValueError(f"{key} is {config[key]}, but the vocabulary has {len(known)} tokens")
