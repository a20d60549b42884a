"""The explorer in the browser: steps, things to try, links, what goes wrong, speed and size."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from d2l_ext import corpora, views, vocab, weights
from tests.book.pages import SITE, watch
from tests.book.test_pages import AXE, serious

ROOT = Path(__file__).parents[2]
PAGE = "docs/explorer.html"
FATIGUED = "this tired girl does not speak to these neighbors ."
# What the page knows: the words that are written, and what the step looks at
STATE = """() => {
    const { run, settings, model } = document.querySelector("attention-explorer").explorer;
    const k = settings.step - 1;
    return { settings, kind: model.config.kind, words: run?.words, step: settings.step,
        weights: [...run?.steps[k]?.weights ?? []], length: run?.length };
}"""
WIDTHS = {"desktop": 1280, "tablet": 800, "phone": 390}


def arrive(page, address=PAGE):
    """Open the explorer, and its settings, and wait until a word is written."""
    page.goto("about:blank")  # a page whose address changes behind # only is not loaded again
    page.goto(address)
    page.locator("attention-explorer .word.now").first.wait_for()
    for settings in page.locator(".settings-part > summary").all():  # the small form has none
        settings.click()
    return page


def state(page):
    return page.evaluate(STATE)


def linked(page):
    """The page's address, which follows the settings a moment later."""
    return page.evaluate("""new URL(
        document.querySelector("attention-explorer").explorer.link(), location).href""")


def attempt(page, name):
    """Press one of the things to try."""
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator(".hint strong")).to_have_text(name)
    return state(page)


@pytest.fixture(scope="module")
def explorer(browser, site):
    """The page, which one visit serves many tests."""
    with browser.new_context(base_url=site) as context:
        page = context.new_page()
        page.wrong = watch(page)
        yield page
        # What a page was still loading when it was left does not count
        assert [one for one in page.wrong if "ERR_ABORTED" not in one] == []


def test_steps_go_forward_and_back_and_play(explorer):
    page = arrive(explorer)
    count = state(page)["words"]
    expect(page.locator(".word.now")).to_have_text(re.compile("^cette"))
    page.get_by_role("button", name="Step forward").click()
    expect(page.locator(".word.now")).to_have_text(re.compile("^fille"))
    expect(page.get_by_role("status").last).to_contain_text("“fille” is written")
    page.get_by_role("button", name="Step back").click()
    assert state(page)["step"] == 1
    page.get_by_role("button", name="Step back").click()  # there is no step before the first
    assert state(page)["step"] == 1
    page.get_by_role("button", name="Last step").click()
    assert state(page)["step"] == len(count)
    page.get_by_role("button", name="Play").click()  # from the start, since it is at the end
    page.get_by_role("button", name="Pause").wait_for()
    page.wait_for_function(f"() => ({STATE})().step === 2")
    page.get_by_role("button", name="Pause").click()
    assert state(page)["step"] == 2
    page.get_by_role("slider", name="Step").press("End")
    assert state(page)["step"] == len(count)


def test_words_are_typed_and_offered(explorer):
    page = arrive(explorer)
    page.get_by_label("Sentence").fill("the ca")
    offered = page.locator(".offers button").all_inner_texts()
    assert offered and all(word.startswith("ca") for word in offered)
    page.locator(".offers").get_by_role("button", name="cat", exact=True).click()
    expect(page.get_by_label("Sentence")).to_have_value("the cat ")
    page.get_by_label("Sentence").press_sequentially("sleeps .")
    assert state(page)["words"] == ["le", "chat", "dort", ".", "<eos>"]


def test_another_one_is_one_whose_truth_is_known(explorer):
    page = arrive(explorer)
    truth = page.get_by_role("radio", name="the truth")
    for _ in range(3):
        page.get_by_role("button", name="Another one").click()
        expect(truth).to_be_enabled()
    page.get_by_label("Sentence").fill("the cat sleeps .")
    expect(truth).to_be_disabled()


# --- Things to try ------------------------------------------------------------------------------


def test_every_thing_to_try_has_its_test():
    names = re.findall(r'^  \{ name: "([^"]+)"', source("view.js"), re.MULTILINE)
    here = Path(__file__).read_text(encoding="utf-8")
    assert len(names) >= 10
    assert [name for name in names if f'"{name}"' not in here] == []


def test_a_word_is_forced_and_the_rest_answers(explorer):
    page = arrive(explorer)
    found = attempt(page, "Force a word")
    assert found["words"][:4] == ["ces", "petits", "voiture", "blanche"]
    expect(page.locator(".word.forced")).to_have_text(re.compile("^ces"))
    page.get_by_role("button", name="First step").click()
    page.get_by_role("button", name="Let the model choose").click()
    assert state(page)["words"][:2] == ["cette", "petite"]
    page.get_by_label("Another word for this place").fill("mes")
    page.get_by_role("button", name="Write this word").click()
    assert state(page)["words"][0] == "mes"
    page.get_by_role("button", name="write it: cette").click()
    assert state(page)["words"][0] == "cette"


def test_what_to_look_for_and_what_is_changed_is_said(explorer):
    page = arrive(explorer)
    hint, changes = page.locator(".hint"), page.locator(".settings-part summary small")
    expect(hint).to_contain_text("Press one")
    attempt(page, "Mask off")
    expect(changes).to_have_text("changed: temperature 3, 4 of padding, mask off")
    page.locator(".number").first.hover()
    expect(page.locator(".inspect")).to_contain_text("not as the model was trained: temperature 3")
    page.get_by_role("button", name="Step forward").click()
    expect(hint).to_contain_text("Mask off")
    page.get_by_role("button", name="Another one").click()
    expect(page.get_by_role("button", name="Mask off")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="As it was trained").click()
    expect(hint).to_contain_text("Press one")
    page.get_by_role("radio", name="the truth").check()
    expect(changes).to_have_text("changed: fed the truth")
    expect(page.get_by_role("radio", name="1, greedy")).to_be_disabled()
    page.get_by_label("Sentence").fill("the cat sleeps .")  # its truth is not known
    expect(changes).not_to_contain_text("truth")
    expect(page.get_by_role("radio", name="its own words")).to_be_checked()


def test_fed_the_truth_or_its_own_words(explorer):
    page = arrive(explorer)
    fed = attempt(page, "Feed the truth")
    assert " ".join(fed["words"]) == "est-ce que nous ne devons pas chanter ? <eos>"
    expect(page.get_by_role("status").last).to_contain_text("likelier here: “devons”")
    page.get_by_role("radio", name="its own words").check()
    assert " ".join(state(page)["words"]) == "est-ce que nous devons ne chante pas ? <eos>"


def test_a_softer_softmax_spreads(explorer):
    page = arrive(explorer)
    before = max(state(page)["weights"])
    assert max(attempt(page, "Softer softmax")["weights"]) < before - 0.05
    assert sum(state(page)["weights"]) == pytest.approx(1)


def test_padding_weighs_something_without_the_mask_only(explorer):
    page = arrive(explorer)
    trained = state(page)["words"]
    for name, masked in (("Mask off", False), ("Mask on", True)):
        found = attempt(page, name)
        behind = [0.0, 0.0, 0.0, 0.0]
        for step in range(1, len(found["words"]) + 1):
            page.evaluate(f"document.querySelector('attention-explorer').explorer.go({step})")
            behind = [max(pair) for pair in zip(behind, state(page)["weights"][-4:])]
        assert (behind == [0, 0, 0, 0]) == masked
        assert masked or sum(behind) > 0.05
        expect(page.locator(".word.padding")).to_have_count(4)
    page.get_by_role("button", name="As it was trained").click()
    assert state(page)["words"] == trained


def test_what_was_trained_one_way_fails_the_other(explorer):
    """Scale, direction and the choice of keys and values are part of what a model has learned."""
    page = arrive(explorer)
    bent = attempt(page, "One-way encoder")["words"]
    page.get_by_role("button", name="As it was trained").click()
    trained = state(page)["words"]
    assert " ".join(trained) == "nous travaillons dans le grand hôtel . <eos>" != " ".join(bent)
    for name in ("Scaled or not", "Uniform weights"):
        assert attempt(page, name)["words"] != trained
    found = state(page)
    assert found["weights"] == pytest.approx([1 / (found["length"] + 1)] * (found["length"] + 1))
    swap = page.get_by_role("checkbox", name="keys for values, values for keys")
    expect(swap).to_be_disabled()  # they are the same
    expect(page.get_by_role("button", name="Keys for values")).to_be_hidden()
    page.get_by_role("combobox", name="Model").select_option(label="Transformer, chapter 09")
    page.wait_for_function(f"() => ({STATE})().kind === 'transformer'")
    expect(swap).to_be_enabled()
    assert attempt(page, "Keys for values")["words"] != trained
    page.get_by_role("button", name="As it was trained").click()
    assert state(page)["words"] == trained


def test_a_one_way_encoder_has_no_states_from_behind(explorer):
    """What is shown of a source word is what is used, and the decoder starts without them, too."""
    page = arrive(explorer, f"{PAGE}#oneWay=1")
    run = 'document.querySelector("attention-explorer").explorer.run'
    assert page.evaluate(f"{run}.encoded.state[0].every(x => x === 0)")
    assert page.evaluate(f"{run}.steps[0].state.values[0] === {run}.encoded.outputs[0]")
    page.locator(".words .word").first.hover()
    numbers = page.locator(".inspect .numbers").inner_text().split()
    assert {float(one.replace("−", "-")) for one in numbers[64:]} == {0}
    assert {float(one.replace("−", "-")) for one in numbers[:64]} != {0}


def test_beams_find_what_greedy_search_misses(explorer):
    page = arrive(explorer)
    found = attempt(page, "Beam of 2")
    assert found["words"][:2] == ["le", "gâteau"]
    expect(page.locator(".node.dropped").first).to_be_visible()
    best = page.locator(".node.best:visible")
    expect(best).to_have_count(found["step"])
    best.last.hover()
    expect(page.locator(".inspect")).to_contain_text("Kept: le gâteau de — ")
    page.get_by_role("radio", name="1, greedy").check()
    assert state(page)["words"][:2] == ["l'", "gâteau"]
    expect(page.locator(".node")).to_have_count(0)
    assert "quand" in attempt(page, "Beam of 4")["words"]
    page.get_by_role("radio", name="1, greedy").check()
    assert "quand" not in state(page)["words"]


def test_gold_is_framed_and_read_out(explorer):
    page = arrive(explorer)
    attempt(page, "Gold alignment")
    expect(page.locator(".words .word.gold")).to_have_text(re.compile("^tired"))
    expect(page.get_by_role("rowheader", name="tired (gold)")).to_be_visible()
    page.get_by_role("checkbox", name="gold alignment").uncheck()
    expect(page.locator(".words .word.gold")).to_have_count(0)


def test_heads_and_blocks_have_their_own_looks(explorer):
    page = arrive(explorer, f"{PAGE}#model=1&truth=1&step=3")
    assert state(page)["kind"] == "transformer"
    expect(page.locator(".heads canvas")).to_have_count(8)
    caption = page.locator("table caption").first
    expect(caption).to_contain_text("the mean of the block's heads")
    seen = set()
    for name in ("block 1, head 1", "block 2, head 3"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".strip canvas")).to_have_count(2)  # query and output
        seen.add(page.locator(".columns table").first.inner_text())
    for choice in ("its own words", "each other, in the encoder"):  # head 3 stays
        page.get_by_role("combobox", name="Words look at").select_option(label=choice)
        seen.add(page.locator(".columns table").first.inner_text())
    assert len(seen) == 4
    inspector = page.locator(".inspect")
    page.locator(".words .word").first.hover()
    expect(inspector).to_contain_text("outputs, found = self.encoder.run_blocks(")
    page.get_by_role("button", name="block 1, head 2").hover()
    expect(inspector).to_contain_text("block 1, head 2: the weights of “this”")
    page.get_by_text("All source words, as a table of weights").click()
    page.locator(".all td").nth(2).hover()
    expect(inspector).to_contain_text("weight of “tired”")
    expect(inspector).to_contain_text("d2l.masked_softmax")
    page.get_by_role("button", name="block 2, mean").click()
    page.locator(".all td").nth(2).hover()
    expect(inspector).to_contain_text("w.mean(axis=0)")
    for name in page.get_by_role("rowheader").all():
        page.mouse.move(0, 0)
        name.hover()
        expect(inspector).to_contain_text(re.compile(f"^“{re.escape(name.inner_text())}"))
    rows = page.locator(".columns table").first.locator("tbody tr")
    expect(rows).to_have_count(len(FATIGUED.split()) + 1)


def test_what_is_said_of_the_transformer_is_so(explorer):
    page = arrive(explorer, f"{PAGE}#model=1")
    fed = attempt(page, "Feed the truth")
    expect(page.get_by_role("status").last).to_contain_text("“parce” is written, because")
    expect(page.get_by_role("status").last).to_contain_text("likelier here: “.”")
    page.get_by_role("radio", name="its own words").check()
    assert state(page)["words"] == ["elle", "va", "arriver", "demain", ".", "<eos>"]
    assert attempt(page, "Beam of 2")["words"] == fed["words"]
    assert attempt(page, "One head")["settings"]["head"] == 1
    expect(page.locator("table caption").first).to_contain_text("(block 2, head 2)")
    expect(page.locator(".strip canvas")).to_have_count(2)
    attempt(page, "Inside the encoder")
    expect(page.locator("table caption").first).to_contain_text("source word “girl” looks at")
    expect(page.get_by_role("status").last).to_contain_text("“girl” gives most weight to “tired”")
    page.locator(".words .word").first.click()
    expect(page.locator("table caption").first).to_contain_text("source word “this” looks at")
    page.get_by_role("combobox", name="Model").select_option(index=0)
    page.wait_for_function(f"() => ({STATE})().kind === 'attention'")
    assert state(page)["settings"]["look"] == "source"  # all that it has
    expect(page.get_by_role("button", name="One head")).to_be_hidden()


# --- Numbers, links, keyboard -------------------------------------------------------------------


def test_pointing_tells_numbers_and_code(explorer):
    page = arrive(explorer, f"{PAGE}#gates=1")
    inspector = page.locator(".inspect")
    found = state(page)["weights"]
    page.locator(".columns tbody tr").nth(2).locator(".number").nth(1).hover()
    expect(inspector).to_contain_text(f"weight of “girl”: {found[2]:.4f}")
    expect(inspector).to_contain_text("weights = d2l.masked_softmax(scores, valid_lens)")
    link = inspector.get_by_role("link", name="chapter 03")
    path, _, anchor = link.get_attribute("href").partition("#")
    assert f'id="{anchor}"' in (SITE / "docs" / path).resolve().read_text(encoding="utf-8")
    page.get_by_role("img", name=re.compile("^Update gate z, 64 numbers")).focus()
    expect(inspector).to_contain_text("z = torch.sigmoid(x_z + h_z)")
    page.evaluate("document.documentElement.dataset.framework = 'jax'")
    page.get_by_role("img", name=re.compile("^Query, 64 numbers")).hover()
    expect(inspector).to_contain_text("query = hidden[-1][:, None]")
    expect(inspector).to_contain_text(re.compile("number \\d+ of 64"))
    before = inspector.inner_text()
    page.evaluate("document.querySelector('attention-explorer').explorer.go(2)")
    assert inspector.inner_text() != before  # the numbers of the step that is shown
    expect(inspector).to_contain_text("query = hidden[-1][:, None]")


def test_a_link_carries_sentence_and_settings(explorer):
    page = arrive(explorer)
    page.get_by_label("Sentence").fill("the old cat's house is big .")
    page.get_by_role("radio", name="2", exact=True).check()
    page.get_by_role("checkbox", name="uniform weights").check()
    page.get_by_role("button", name="write it:").last.click()
    page.get_by_role("button", name="Step forward").click()
    before, address = state(page), linked(page)
    page.wait_for_url(address)
    after = state(arrive(page, address))
    assert after == before
    for nonsense in (
        "#",
        "#s=&x=1",
        "#beam=99&step=-3&temperature=no&model=7",
        "#nowhere",
        "#step=2.5&padding=1.5&beam=1.5&look=own",
        "#model=1&look=encoder&at=1.5&block=-9&head=0.5",
        "#force=:+0:+zyzzyva&swapped=1",
    ):
        page.goto("about:blank")
        page.goto(PAGE + nonsense)
        page.get_by_role("button", name="Another one").click()
        page.locator(".word.now").first.wait_for()


def test_a_link_to_what_is_not_here_says_so(explorer):
    page = arrive(explorer, f"{PAGE}#model=2&s=the+cat+sleeps+.&force=0:zyzzyva")
    note = page.get_by_role("status").first
    expect(note).to_contain_text("The link is to a model that is not on this page")
    expect(note).to_contain_text("Not in the target's vocabulary, so not put in: zyzzyva.")
    assert state(page)["words"] == ["le", "chat", "dort", ".", "<eos>"]
    page.get_by_role("button", name="As it was trained").click()
    expect(note).to_be_hidden()


@pytest.mark.parametrize("chapter", ["05", "06", "07", "09"])
def test_chapters_link_to_their_settings(explorer, chapter):
    (name,) = [path.stem for path in (ROOT / "notebooks").glob(f"{chapter}_*.md")]
    page = explorer
    page.goto(f"{name}.html")
    link = page.locator(f"article a[href$='explorer.html#chapter-{chapter}']")
    arrive(page, page.url.rpartition("/")[0] + "/" + link.get_attribute("href"))
    settings = state(page)["settings"]
    wanted = {"05": "truth", "06": "beam", "07": "rescaled", "09": "truth"}[chapter]
    assert settings[wanted] in (True, 4) and settings["step"] == 3
    page.wait_for_load_state("load")
    page.wait_for_timeout(100)
    expect(page.get_by_label("Sentence")).to_be_in_viewport()


def test_the_keyboard_alone_is_enough(explorer):
    page = arrive(explorer)
    page.get_by_label("Sentence").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("""() => {
                const e = document.activeElement.shadowRoot?.activeElement;
                const text = e && (e.getAttribute("aria-label") ?? e.textContent);
                return e ? `${e.tagName} ${e.className} ${text}`.trim() : "";
            }""")
        )
    for what in (
        "Another one",
        "BUTTON word",
        "Step forward",
        "BUTTON plain number",
        "CANVAS",
        "As it was trained",
        "INPUT",
        "SELECT",
        "SUMMARY",
        "Copy a link",
    ):
        assert [one for one in reached if what in one], (what, reached)
    page.locator(".columns table").nth(1).locator(".number").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="write it: ").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".word.forced")).to_have_count(1)
    expect(page.get_by_role("button", name="write it: ").nth(1)).to_be_focused()
    page.locator(".words .word").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".words .word").nth(1)).to_be_focused()
    expect(page.locator(".inspect")).to_contain_text("“tired”, its output of the encoder")


def test_a_step_is_a_table(explorer):
    page = arrive(explorer)
    table = page.get_by_role("table", name="What the step that writes “cette” looks at")
    expect(table.get_by_role("columnheader")).to_have_text(["word", "score", "weight"])
    expect(table.get_by_role("rowheader")).to_have_text(
        ["this (gold)", *FATIGUED.split()[1:], "<eos>"]
    )
    page.get_by_text("All steps so far").click()
    page.get_by_role("button", name="Last step").click()
    rows = page.locator(".all tbody tr")
    expect(rows).to_have_count(len(state(page)["words"]))


# --- What goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("", "There is no word in the sentence; type one."),
        ("   ", "There is no word in the sentence; type one."),
        ("the zyzzyva sleeps .", "Not in the vocabulary, read as <unk>: zyzzyva."),
        ("cat " * 500, "The sentence has 500 tokens, but the model takes at most 127; split it."),
        ("<img src=x onerror=alert(1)>", "Not in the vocabulary, read as <unk>: <, img"),
    ],
)
def test_a_sentence_that_is_none(explorer, sentence, message):
    page = arrive(explorer)
    page.get_by_label("Sentence").fill(sentence)
    expect(page.get_by_role("status").first).to_contain_text(message)
    if "zyzzyva" in sentence:
        expect(page.locator(".word.unknown")).to_have_text(re.compile("^zyzzyva"))
    page.get_by_label("Sentence").fill("the cat sleeps .")
    assert state(page)["words"] == ["le", "chat", "dort", ".", "<eos>"]
    expect(page.locator(".message").first).to_be_hidden()


def damaged():
    """Files that are no model of the explorer, by what is said of them."""
    whole = weights.pretrained("pytorch").read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])

    def with_header(**changes):
        new = json.dumps(header | {"__metadata__": header["__metadata__"] | changes}).encode()
        return len(new).to_bytes(8, "little") + new + whole[8 + size :]

    def with_config(**changes):
        return with_header(config=json.dumps(config | changes))

    def with_vocab(side, **changes):
        tokens = json.loads(header["__metadata__"][f"{side}_vocab"])
        parts = {"kind": "words", "tokens": tokens} | changes
        return with_header(**{f"{side}_vocab": json.dumps(parts)})

    def with_entry(entry, of=header):
        new = json.dumps(of | {"encoder.embedding": entry}).encode()
        return len(new).to_bytes(8, "little") + new + whole[8 + size :]

    config = json.loads(header["__metadata__"]["config"])
    tokens = json.loads(header["__metadata__"]["src_vocab"])
    entry = header["encoder.embedding"]
    lacks = json.dumps({key: value for key, value in config.items() if key != "num_layers"})
    foreign = {"model.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    foreign = json.dumps(foreign | {"__metadata__": {"format": "pt"}}).encode()
    none = {key: value for key, value in header.items() if key != "__metadata__"}
    bare = json.dumps(none).encode()
    return {
        "it has 0 bytes": b"",
        "it ends within its header": whole[:5000],
        "its header cannot be read": (16).to_bytes(8, "little") + b"\xff" * 40,
        "it ends before": whole[:-4000],
        "no format version": len(bare).to_bytes(8, "little") + bare + whole[8 + size :],
        "no model that d2l.save_model": len(foreign).to_bytes(8, "little") + foreign + bytes(8),
        "format version 3": with_header(format_version="3"),
        "the config in its metadata cannot be read": with_header(config="{"),
        "lacks num_layers": with_header(config=lacks),
        "the src_vocab in its metadata cannot be read": with_header(src_vocab="null"),
        "its header cannot be read).": with_entry(entry, header | {"__metadata__": "x"}),
        "does not say where encoder.embedding stands": with_entry(entry | {"data_offsets": None}),
        "encoder.embedding stands)": with_entry(None),
        "type F16, expected F32": with_entry(entry | {"dtype": "F16"}),
        "encoder.gru.1.w_x is missing": with_config(num_layers=2),
        "num_layers 1000000; expected fewer": with_config(num_layers=10**6),
        'bidirectional "no"; expected true or false': with_config(bidirectional="no"),
        'kind ["attention"]': with_config(kind=["attention"]),
        "a vocabulary in it does not start with": with_header(src_vocab='["a"]'),
        "is no list of words": with_vocab("src", tokens=[*tokens[:4], *range(len(tokens) - 4)]),
        "list of words, each of": with_vocab("tgt", tokens=[*tokens[:4], *[None] * 284]),
        "each of them once": with_vocab("src", tokens=[*tokens[:4], *["a"] * (len(tokens) - 4)]),
        "merges that are no pairs": with_vocab("src", kind="subwords", merges=[1]),
        "merges that are no": with_vocab("src", kind="subwords", merges=None),
        'kind "plain"': (ROOT / "tests/data/plain.safetensors").read_bytes(),
        'kind "global"': (ROOT / "tests/data/dot.safetensors").read_bytes(),
        "no safetensors file": (ROOT / "docs/img/explorer.png").read_bytes(),
    }


DROP = """async ([name, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name));
    document.querySelector("attention-explorer").dispatchEvent(
        new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize("message", damaged())
def test_a_file_that_is_no_model(explorer, message):
    page = arrive(explorer)
    before = state(page)
    content = damaged()[message]
    file = {"name": "mine.safetensors", "mimeType": "application/octet-stream", "buffer": content}
    page.locator("input[type=file]").set_input_files(file)
    note = page.get_by_role("status").first
    expect(note).to_contain_text("mine.safetensors cannot be shown: ")
    expect(note).to_contain_text(message)
    assert state(page) == before
    page.get_by_role("button", name="Step forward").click()
    assert state(page)["step"] == 2


def test_a_model_that_is_dropped_runs(explorer):
    page = arrive(explorer)
    page.evaluate(DROP, ["mine.safetensors", list(weights.pretrained("transformer").read_bytes())])
    page.wait_for_function(f"() => ({STATE})().kind === 'transformer'")
    choice = page.get_by_role("combobox", name="Model").locator("option:checked")
    expect(choice).to_have_text("mine.safetensors")


def drop(page, folder, arrays, *rest):
    """Drop a file with these weights on the page."""
    path = folder / "mine.safetensors"
    weights.save(path, arrays, *rest)
    page.evaluate(DROP, [path.name, list(path.read_bytes())])


def test_a_model_that_diverged(explorer, tmp_path):
    page = arrive(explorer)
    arrays, *rest = weights.load(weights.pretrained("pytorch"))
    drop(page, tmp_path, {name: np.nan * array for name, array in arrays.items()}, *rest)
    expect(page.get_by_role("status").first).to_contain_text("infinite numbers or NaN")
    page.get_by_role("combobox", name="Model").select_option(index=0)
    expect(page.locator(".word.now")).to_have_text("cette")


def test_a_model_of_pieces_of_words(explorer, tmp_path):
    """Their vocabularies have tokens that begin with a space, which may be put in, too."""
    page = arrive(explorer)
    sides = zip(*(pair[:2] for pair in corpora.load(max_steps=16).test[:200]))
    pieces = [vocab.Subwords.train([" ".join(words) for words in side], 400) for side in sides]
    _, config, *_ = weights.load(weights.pretrained("pytorch"))
    config |= {"src_vocab_size": len(pieces[0]), "tgt_vocab_size": len(pieces[1])}
    drop(page, tmp_path, weights.draw(config, 1), config, *pieces)
    expect(page.get_by_role("button", name="Another one")).to_be_hidden()
    page.get_by_label("Another word for this place").fill("␣le")
    page.get_by_role("button", name="Write this word").click()
    before = state(page)["words"]
    assert before[0] == " le"
    page.get_by_label("Another word for this place").fill("zyzzyva")
    page.get_by_role("button", name="Write this word").click()
    said = page.get_by_label("Another word for this place").evaluate("e => e.validationMessage")
    assert said == "“zyzzyva” is not in the target's vocabulary."
    assert state(page)["words"] == before


def test_examples_in_pieces_of_words(browser, tmp_path):
    """Their sentences read as text, their truth is known, and words are offered without spaces."""
    sentences = [
        "\t".join(map(" ".join, pair[:2])) for pair in corpora.load(max_steps=16).train[:300]
    ]
    path, text = tmp_path / "own.safetensors", tmp_path / "own.txt"
    text.write_text("\n".join(sentences), encoding="utf-8")
    corpus = corpora.load(text)
    assert corpus.src_vocab.kind == "subwords"
    _, config, *_ = weights.load(weights.pretrained("pytorch"))
    config |= {"src_vocab_size": len(corpus.src_vocab), "tgt_vocab_size": len(corpus.tgt_vocab)}
    weights.save(path, weights.draw(config, 1), config, corpus.src_vocab, corpus.tgt_vocab)
    page_path = tmp_path / "own.html"
    views.explorer(path, corpus.test[:3]).save(page_path)
    with browser.new_page() as page:
        arrive(page, page_path.as_uri())
        for pair in [*corpus.test[:3], corpus.test[0]]:
            expect(page.get_by_label("Sentence")).to_have_value(
                corpus.src_vocab.detokenize(pair.source)
            )
            page.get_by_role("radio", name="the truth").check()
            assert state(page)["words"] == [*pair.target, "<eos>"]
            page.get_by_role("button", name="Another one").click()
        page.get_by_label("Sentence").fill("and th")
        page.locator(".offers").get_by_role("button", name="the", exact=True).click()
        expect(page.get_by_label("Sentence")).to_have_value("and the ")
        source = page.evaluate('document.querySelector("attention-explorer").explorer.run.source')
        assert source == [*corpus.src_vocab.tokenize("and the"), "<eos>"]


def test_a_model_that_does_not_come(browser, site):
    with browser.new_context(base_url=site) as context:
        page = context.new_page()
        page.route("**/explorer-*.js", lambda route: route.fulfill(status=404))
        page.goto(PAGE)
        note = page.get_by_role("status").first
        expect(note).to_contain_text("The model could not be loaded: ")
        expect(note).to_contain_text("explorer-pytorch.js does not come")


# --- Elsewhere: the front page, notebooks, files ------------------------------------------------


def test_the_front_page_has_a_small_form(explorer):
    page = arrive(explorer, "index.html")
    page.get_by_label("Sentence").fill("the cat does not sleep .")
    page.get_by_role("button", name="Last step").click()
    page.get_by_role("button", name="Step back").click()
    shown = state(page)
    assert shown["words"] == ["le", "chat", "ne", "dort", "pas", ".", "<eos>"]
    page.get_by_role("link", name="Open the explorer").click()
    page.locator(".inspect").wait_for()
    after = state(page)
    assert (after["words"], after["step"]) == (shown["words"], shown["step"])


def test_a_page_that_is_one_file(browser, tmp_path):
    """Opened from the disk, and in a notebook's frame: nothing is asked for, all works."""
    view = views.explorer(weights.pretrained("pytorch"), corpora.load(max_steps=16).test[:5])
    path = tmp_path / "page.html"
    view.save(path)
    assert path.stat().st_size < 1e6
    with browser.new_page() as page:
        wrong = watch(page)
        page.on("request", lambda r: r.url.startswith(("file:", "data:")) or wrong.append(r.url))
        page.goto(path.as_uri())
        page.locator(".word.now").wait_for()
        page.get_by_role("button", name="Step forward").click()
        assert state(page)["step"] == 2
        page.wait_for_url("**#s=*")
        expect(page.locator(".inspect")).to_contain_text("Point at a number")
        page.set_content(view._repr_html_())
        frame = page.frame_locator("iframe")
        frame.locator(".word.now").wait_for()
        frame.get_by_role("button", name="Another one").click()
        frame.get_by_role("button", name="Step forward").click()
        expect(frame.locator(".word.now")).to_be_visible()
        high = "document.querySelector('iframe').clientHeight > 900"
        page.wait_for_function(high)  # it has grown to what it holds
        assert wrong == []


@pytest.mark.parametrize("name", [PAGE, "index.html", "zh_CN/index.html"])
def test_the_book_from_the_disk(browser, site, name):
    """Browsers load neither modules nor data of a page that no server has sent."""
    with browser.new_page() as page:
        wrong = watch(page)
        page.on("request", lambda r: r.url.startswith(("file:", "data:")) or wrong.append(r.url))
        arrive(page, (SITE / name).as_uri())
        page.get_by_role("button", name="Step forward").click()
        if name == PAGE:
            page.get_by_role("combobox", name="Model").select_option(index=1)
            page.wait_for_function(f"() => ({STATE})().kind === 'transformer'")
        assert len(state(page)["words"]) > 5
        assert wrong == []


def source(name):
    return (ROOT / "d2l_ext/explorer" / name).read_text(encoding="utf-8")


READ_LINES = """async source => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    return (await import(url)).LINES;
}"""


def test_code_is_in_the_chapters_own_words(browser):
    with browser.new_page() as page:
        lines = page.evaluate(READ_LINES, source("lines.js"))
    assert len(lines) > 10
    missing = []
    for key, entry in lines.items():
        chapter, _, section = entry["at"].partition("#")
        text = (ROOT / f"notebooks/{chapter}.md").read_text(encoding="utf-8")
        _, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
        titles = [re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in parts[::2]]
        within = dict(zip(titles, parts[1::2])).get(section, "")
        for framework, code in entry["code"].items():
            cells = re.findall(r"^```python(.*)\n((?s:.*?))^```", within, re.MULTILINE)
            of_tab = "\n".join(c for head, c in cells if "tab=" not in head or framework in head)
            missing += [(key, framework, one) for one in code.split("\n") if one not in of_tab]
    assert missing == []


# --- Speed, size, looks -------------------------------------------------------------------------


def test_the_page_is_light(explorer):
    """The page, the explorer's script and its model; not the theme that all pages share."""
    static = SITE / "_static"
    parts = [SITE / PAGE, static / "explorer.js", static / "explorer-pytorch.js"]
    assert sum(path.stat().st_size for path in parts) <= 1e6
    asked = []
    explorer.on("request", lambda request: asked.append(request.url))
    arrive(explorer)
    assert any(url.endswith("explorer-pytorch.js") for url in asked)
    assert not any(url.endswith("explorer-transformer.js") for url in asked)  # on demand


def test_first_paint_comes_within_a_second(browser, site):
    """The best of some first visits, since other tests run beside this one."""
    seconds = []
    while len(seconds) < 20 and min(seconds, default=2) >= 1:
        with browser.new_context(base_url=site) as context:
            page = context.new_page()
            page.goto(PAGE)
            page.locator(".word.now").wait_for()
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            seconds.append(page.evaluate(paint) / 1000)
    assert min(seconds) < 1


STEPS = """() => {
    const { explorer } = document.querySelector("attention-explorer");
    let best = Infinity;
    for (let round = 0; round < 20; round++) {
        const start = performance.now();
        explorer.update({ step: 1 });  // computes all steps
        for (let k = 1; k <= explorer.run.words.length; k++) explorer.go(k);
        best = Math.min(best, (performance.now() - start) / explorer.run.words.length);
    }
    return best;
}"""


@pytest.mark.parametrize("settings", ["", "beam=4&gates=1", "model=1", "model=1&beam=4"])
def test_a_step_takes_five_milliseconds(explorer, settings):
    """The decoder's numbers and the page's, the best of twenty sentences."""
    page = arrive(explorer, f"{PAGE}#{settings}")
    assert page.evaluate(STEPS) < 5


@pytest.mark.parametrize(
    "settings", ["beam=2&gates=1", "model=1&block=1&head=1&beam=4", "s=x&force=0:y"]
)
def test_nothing_serious_is_found_where_links_lead(browser, site, settings):
    """test_pages.py looks at the page as it opens; here is the rest of it, tables open."""
    with browser.new_context(base_url=site) as context:
        context.add_init_script(path=AXE)
        page = arrive(context.new_page(), f"{PAGE}#{settings}&step=3")
        page.locator("details").evaluate_all("all => all.forEach(e => { e.open = true; })")
        page.add_style_tag(content="* { transition: none !important }")
        for scheme in ("light", "dark"):
            assert serious(page, scheme, {"width": 1280, "height": 800}) == []


# Of a picture that is put together of several, what stays in its place would cover the rest
STILL = """.inspect { position: static !important }
    .bd-header, .bd-header-article, .skip-link { visibility: hidden !important }"""


@pytest.mark.parametrize("settings", ["gates=1&beam=2", "model=1&beam=4&block=1&head=1&padding=8"])
def test_a_narrow_phone_scrolls_one_way(browser, site, settings):
    """No page is wider than the phone; and nothing covers the buttons when one arrives."""
    size = {"width": 320, "height": 700}
    with browser.new_context(base_url=site, viewport=size) as context:
        page = arrive(context.new_page(), f"{PAGE}#{settings}&step=3")
        page.get_by_text("All steps so far").click()
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        expect(page.locator(".inspect")).to_have_css("position", "static")
        page.locator(".number").first.focus()
        expect(page.locator(".inspect")).to_have_css("position", "sticky")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshots(browser, site, scheme, width):
    """For people to look at: build/book/screenshots. Nothing is wider than the page."""
    size = {"width": WIDTHS[width], "height": 1000}
    with browser.new_context(base_url=site, color_scheme=scheme, viewport=size) as context:
        page = arrive(context.new_page(), f"{PAGE}#step=3&gates=1&beam=2")
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        path = SITE.parent / "screenshots" / f"explorer-{width}-{scheme}.png"
        page.locator("attention-explorer").screenshot(path=path, style=STILL)
        background = page.evaluate("""getComputedStyle(document.querySelector(
            "attention-explorer").shadowRoot.querySelector("button")).backgroundColor""")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_in_print_no_control_is_left(explorer):
    page = arrive(explorer)
    page.emulate_media(media="print")
    for gone in (".transport", ".tries-part", ".settings-part", ".force"):
        expect(page.locator(gone)).to_be_hidden()
    expect(page.locator(".columns table").first).to_be_visible()
    page.emulate_media(media="screen")
