"""What benchmarks have measured: shown as measured, and what the chapters say of it holds."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import decoders

ALL = pytest.mark.parametrize("framework", decoders.LIBRARIES)
REQUIREMENTS = Path(__file__).parents[1] / "requirements"


def rows(framework):
    """{(decoder, input feeding): row} of a framework."""
    found = json.loads((decoders.RESULTS / f"{framework}.json").read_text(encoding="utf-8"))
    return {(row["decoder"], row["input_feeding"]): row for row in found["rows"]}


@ALL
def test_the_chapter_shows_what_was_measured(framework):
    text = decoders.CHAPTER.read_text(encoding="utf-8")
    (found,) = decoders.region(framework).finditer(text)
    assert (
        found[0] == f'<!-- #region tab="{framework}" -->\n{decoders.table(framework)}\n{found[2]}'
    )


@ALL
def test_every_variant_was_measured_with_the_pinned_version(framework):
    wanted = [(name, feeding) for name, feeding, *_ in decoders.variants()]
    assert list(rows(framework)) == wanted and len(wanted) == 14
    found = json.loads((decoders.RESULTS / f"{framework}.json").read_text(encoding="utf-8"))
    pins = "".join(file.read_text() for file in REQUIREMENTS.glob("*.txt"))
    library, version = decoders.LIBRARIES[framework], re.escape(found["version"])
    assert re.search(rf"^{library}=={version}\b", pins, re.MULTILINE)


@ALL
def test_every_attention_is_above_none_on_long_sentences(framework):
    measured = rows(framework)
    none = measured.pop(("no attention", None))
    for row in measured.values():
        assert row["bleu_long"] > none["bleu_long"] + 20, row


def test_a_chapter_without_the_table_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "07.md"
    path.write_text("# No table here\n", encoding="utf-8")
    monkeypatch.setattr(decoders, "CHAPTER", path)
    with pytest.raises(ValueError, match="has 0 tables for jax; expected 1"):
        decoders.write_table("jax")
    assert path.read_text(encoding="utf-8") == "# No table here\n"
