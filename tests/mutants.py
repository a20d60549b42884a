"""Applies plausible mistakes to the library, one at a time: which ones do the tests catch?

The mistakes are data, tests/mutants.toml, written for each framework. Each is made in a copy of
the library in a temporary folder, where the tests run until one fails: the one that failed the
last time, those of the chapter that the changed code comes from, then all others of models.
`make mutants` runs them all and writes docs/mutants.md; the status is 0 if a test caught each.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "mutants.toml"
PAGE = ROOT / "docs" / "mutants.md"
MODULES = {"pytorch": "torch", "mxnet": "mxnet", "jax": "jax", "tensorflow": "tensorflow"}
COPIED = ("d2l_ext", "tabbook", "tests")
SEPARATOR = "\f"  # no Python file of ours holds a form feed

# The tests that run, and which come first for code from a chapter; the slowest are last.
TESTS = (
    "test_checkpoints.py",
    "test_attention_cues.py",
    "test_masked_softmax.py",
    "test_attention_functions.py",
    "test_global_attention.py",
    "test_transformer.py",
    "test_seq2seq.py",
    "test_translate.py",
    "test_outside.py",
    "test_parity.py",
    "test_properties.py",
    "test_workers.py::test_workers_train_as_one_does",
)
FIRST = {
    "01": "test_attention_cues.py",
    "02": "test_masked_softmax.py",
    "03": "test_attention_functions.py",
    "04": "test_seq2seq.py",
    "05": "test_seq2seq.py",
    "06": "test_translate.py",
    "07": "test_global_attention.py",
    "09": "test_transformer.py",
    "10": "test_workers.py::test_workers_train_as_one_does",
}

# What a failed expectation looks like in pytest's summary. Any other exception is a crash: such a
# mutant gives no wrong result, and any test at all would see it.
EXPECTED = "assert|AssertionError|Failed"


class StaleData(ValueError):
    """The text that a mutant replaces is not in the library as often as it says."""


@dataclasses.dataclass
class Mutant:
    """One mistake.

    Args:
        name: short, with hyphens.
        mistake: what is wrong, in a sentence.
        edits: {framework: list of (text to find, text to put, how often it is there)}.
        impossible: {framework: why the mistake cannot be made there}.
    """

    name: str
    mistake: str
    edits: dict
    impossible: dict


@dataclasses.dataclass
class Outcome:
    """What the tests made of a mutant in one framework.

    Args:
        verdict: "caught", "timeout" (a test did not end), "survived" or "broken" (a crash).
        test: the test that failed, as `file::name`, or "" where none did.
        seconds: wall-clock time.
        output: what pytest printed.
    """

    verdict: str
    test: str
    seconds: float
    output: str


def read(text):
    """Read the mutants.

    Args:
        text: content of tests/mutants.toml.

    Returns:
        List of `Mutant`.

    Raises:
        ValueError: if an entry has an unknown or a missing part.
    """
    mutants = []
    for name, entry in tomllib.loads(text).items():
        unknown = entry.keys() - {"mistake", "all", *MODULES}
        if unknown or not entry.get("mistake"):
            raise ValueError(f"{name}: needs a mistake; unknown: {sorted(unknown)}")
        mutant = Mutant(name, entry["mistake"], {}, {})
        for framework in MODULES:
            part = entry.get(framework, entry.get("all", {}))
            if part.keys() == {"none"}:
                mutant.impossible[framework] = part["none"]
                continue
            if not {"find", "put"} <= part.keys() <= {"find", "put", "count"}:
                raise ValueError(
                    f"{name}, {framework}: needs find and put (and count), or none with the "
                    f"reason, not {sorted(part)}"
                )
            finds, puts = (p if isinstance(p, list) else [p] for p in (part["find"], part["put"]))
            count = part.get("count", 1)
            mutant.edits[framework] = [
                (find.strip(), textwrap.dedent(put).strip(), count)
                for find, put in zip(finds, puts, strict=True)
            ]
        mutants.append(mutant)
    return mutants


def mutate(source, edits):
    """Make a mistake.

    Args:
        source: text of the modules.
        edits: as in `Mutant`, for one framework. What is put has the indentation of what it
            replaces.

    Returns:
        The changed text, and the number of the chapter that the first change belongs to.

    Raises:
        StaleData: if a text is not there as often as it should be.
    """
    chapter = None
    for find, put, count in edits:
        if source.count(find) != count:
            raise StaleData(f"is there {source.count(find)} times instead of {count}: {find}")
        before = source[: source.index(find)]
        if chapter is None:
            chapter = re.findall(r"^ *# From notebooks/(\d\d)", before, re.MULTILINE)[-1]
        line = before.rpartition("\n")[2]
        indent = line[: len(line) - len(line.lstrip())]
        source = source.replace(find, put.replace("\n", "\n" + indent))
    return source, chapter


def modules(root, framework):
    """The paths of a framework's library module and of what all frameworks share."""
    return [Path(root) / "d2l_ext" / f"{name}.py" for name in (MODULES[framework], "common")]


def joined(paths):
    """The text of several files, to make a mistake in whichever has the text in question."""
    return SEPARATOR.join(path.read_text(encoding="utf-8") for path in paths)


def ordered(chapter):
    """The test files, those of a chapter first."""
    return [f"tests/{name}" for name in sorted(TESTS, key=lambda name: name != FIRST[chapter])]


class Worker:
    """A process that runs tests in a copy of the project, and starts anew when it has died.

    Args:
        root: folder with the copy.
        framework: the only one to test.
        environment: further variables of the process.
    """

    running = set()
    lock = threading.Lock()
    stopped = False

    def __init__(self, root, framework, environment):
        self.root, self.framework = Path(root), framework
        self.environment = {**os.environ, **environment, "FRAMEWORK": framework}
        self.process = None

    def start(self):
        with self.lock:
            if Worker.stopped:
                raise KeyboardInterrupt
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "tests" / "mutants_worker.py"],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # so that the tests' own processes end with it
            )
            self.running.add(self)

    def close(self):
        """End the process."""
        with self.lock:
            self.running.discard(self)
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate()
        self.process = None

    @classmethod
    def stop_all(cls):
        """End all processes, and let none start any more."""
        with cls.lock:
            cls.stopped = True
            for worker in cls.running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.process.pid, signal.SIGKILL)

    def run(self, files, limit):
        """Run test files until a test fails.

        Args:
            files: paths in root, in the order in which they run.
            limit: seconds after which to give up.

        Returns:
            `Outcome`.
        """
        started, late = time.monotonic(), threading.Event()

        def give_up():
            late.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

        if self.process is None:
            self.start()
        timer = threading.Timer(limit, give_up)
        timer.start()
        options = ["-x", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
        order = [MODULES[self.framework], *options, *files]
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        timer.cancel()
        output = (self.root / "output.txt").read_text(encoding="utf-8", errors="replace")
        if answer:
            verdict, test = judge(int(answer), output)
        else:
            self.close()
            verdict, test = ("timeout" if late.is_set() else "broken"), ""
        return Outcome(verdict, test, time.monotonic() - started, output)


def judge(status, output):
    """Say what a run of pytest means for the mutant.

    Args:
        status: exit status.
        output: what pytest printed, with a short summary of failures.

    Returns:
        Verdict and test, as in `Outcome`.
    """
    if status == 0:
        return "survived", ""
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+?::\w+)\S*(.*)$", output, re.MULTILINE)
    if status != 1 or not failed:  # the tests could not even be collected
        return "broken", ""
    test, message = failed.groups()
    return ("caught", test) if re.search(rf" - ({EXPECTED})\b", message) else ("broken", "")


def copy(root):
    """Copy what the tests need into a new folder."""
    ignored = shutil.ignore_patterns("__pycache__", "tool")
    for name in COPIED:
        shutil.copytree(ROOT / name, Path(root) / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)


def likely_test(found, name, framework):
    """The test that caught a mutant the last time, in this framework or another, or None.

    Args:
        found: as in `table`.
        name: of the mutant.
        framework: the name of one.
    """
    for other in (framework, *MODULES):
        file, _, test = found.get((name, other), "").partition("::")
        if file in TESTS and f"\ndef {test}(" in (ROOT / "tests" / file).read_text("utf-8"):
            return f"tests/{file}::{test}"
    return None


def run_mutant(worker, mutant, limit, likely=None):
    """Make one mistake in a worker's copy of the library and test it there.

    Args:
        worker: a `Worker`.
        mutant: a `Mutant`; None tests the library as it is.
        limit: seconds.
        likely: test to try alone before all others, or None.

    Returns:
        `Outcome`.
    """
    paths, chapter = modules(worker.root, worker.framework), min(FIRST)
    source = joined(paths)

    def write(text):
        for path, part in zip(paths, text.split(SEPARATOR), strict=True):
            path.write_text(part, encoding="utf-8")

    if mutant:
        mutated, chapter = mutate(source, mutant.edits[worker.framework])
        write(mutated)
    outcome = worker.run([likely] if likely else ordered(chapter), limit)
    if likely and outcome.verdict == "survived":
        outcome = worker.run(ordered(chapter), limit)
    write(source)
    return outcome


def run_framework(framework, mutants, scratch, complete, before, report):
    """Run mutants in one framework.

    Args:
        framework: its name.
        mutants: list of `Mutant`.
        scratch: folder for the copy of the project.
        complete: whether to test the library as it is, first.
        before: what an earlier run found, as in `table`; its tests are tried first.
        report: is called with each mutant and its `Outcome`.

    Raises:
        RuntimeError: if the tests fail without any mistake.
    """
    environment = {
        # tests/conftest.py shares the cores among this number: one thread for each
        "PYTEST_XDIST_WORKER_COUNT": str(os.cpu_count()),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # starts in half the time
        "COLUMNS": "500",  # pytest cuts its summary to the terminal's width
    }
    root, limit = Path(scratch) / framework, 1800
    copy(root)
    worker = Worker(root, framework, environment)
    try:
        if complete:
            outcome = run_mutant(worker, None, limit)
            if outcome.verdict != "survived":
                raise RuntimeError(f"{outcome.output}\n{framework}: tests fail without a mistake")
            limit = 120 + 3 * outcome.seconds
            report(None, outcome)
        for mutant in mutants:
            likely = likely_test(before, mutant.name, framework)
            report(mutant, run_mutant(worker, mutant, limit, likely))
    finally:
        worker.close()


def run_all(mutants, frameworks, jobs, complete, before):
    """Run mutants in frameworks, and print each result as it comes.

    Args:
        mutants: list of `Mutant`.
        frameworks: list of names.
        jobs: how many frameworks at a time.
        complete: as in `run_framework`.
        before: as in `run_framework`.

    Returns:
        {(mutant's name, framework): `Outcome`}, without those that are impossible.

    Raises:
        RuntimeError: if the tests fail without any mistake.
    """
    possible = {f: [m for m in mutants if f in m.edits] for f in frameworks}
    total, outcomes = sum(map(len, possible.values())), {}

    def report(framework, mutant, outcome):
        if mutant is None:
            print(f"{framework}: no mistake, no failure ({outcome.seconds:.0f} s)", flush=True)
            return
        outcomes[mutant.name, framework] = outcome
        print(
            f"[{len(outcomes)}/{total}] {framework}: {mutant.name}: {outcome.verdict} "
            f"{outcome.test} ({outcome.seconds:.1f} s)",
            flush=True,
        )
        if outcome.verdict == "broken":
            print(textwrap.indent(outcome.output[-3000:], "    "), flush=True)

    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            started = [
                pool.submit(
                    run_framework,
                    framework,
                    possible[framework],
                    scratch,
                    complete,
                    before,
                    functools.partial(report, framework),
                )
                for framework in frameworks
            ]
            for future in concurrent.futures.as_completed(started):
                future.result()
        finally:
            Worker.stop_all()
            pool.shutdown(cancel_futures=True)
    return outcomes


def sums(mutants, frameworks, found):
    """One line for each framework: how many of its mutants were caught."""
    lines = []
    for framework in frameworks:
        results = [found[m.name, framework] for m in mutants if (m.name, framework) in found]
        caught = sum(result not in ("survived", "broken") for result in results)
        impossible = sum(framework in m.impossible for m in mutants)
        line = f"{framework}: {caught} of {len(results)} caught"
        lines.append(f"{line}, {impossible} impossible" if impossible else line)
    return lines


def table(mutants, frameworks, found):
    """What caught each mutant in each framework, in Markdown, and the tests by number.

    Args:
        mutants: list of `Mutant`.
        frameworks: list of names.
        found: {(mutant's name, framework): the test that caught it, or another verdict}.

    Returns:
        The text, which `read_table` reads again.
    """
    tests = sorted({result for result in found.values() if "::" in result})
    lines = [
        f"| mutant | mistake | {' | '.join(frameworks)} |",
        f"|---|---|{'---|' * len(frameworks)}",
    ]
    for mutant in mutants:
        results = [
            found.get((mutant.name, f), "–" if f in mutant.impossible else "?") for f in frameworks
        ]
        cells = [str(tests.index(r) + 1) if r in tests else r for r in results]
        lines.append(f"| `{mutant.name}` | {mutant.mistake} | {' | '.join(cells)} |")
    lines.append("")
    for mutant in mutants:
        for framework, reason in mutant.impossible.items():
            if framework in frameworks:
                lines.append(f"- `{mutant.name}`, {framework}: {reason}.")
    lines += ["", "The tests that failed first:", ""]
    lines += [f"{i + 1}. `{test}`" for i, test in enumerate(tests)]
    return "\n".join(lines)


def read_table(text):
    """Read what `table` wrote for all frameworks.

    Args:
        text: with the table in it, or "".

    Returns:
        `found`, as `table` takes it.
    """
    tests = dict(re.findall(r"^(\d+)\. `(.*)`$", text, re.MULTILINE))
    rows = re.findall(r"^\| `(.*?)` \| .* \| (.*) \| (.*) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    return {
        (name, framework): tests.get(cell, cell)
        for name, *cells in rows
        for framework, cell in zip(MODULES, cells)
        if cell not in "–?"
    }


def page(mutants, found):
    """The text of docs/mutants.md; what `found` has of mutants that are no more is left out."""
    current = {(m.name, framework) for m in mutants for framework in m.edits}
    found = {pair: result for pair, result in found.items() if pair in current}
    return f"""\
# Do the tests bite?

Written by `make mutants`; do not edit.

A test that cannot fail proves nothing. `make mutants` makes {len(mutants)} plausible mistakes in
the library, one at a time and in each of the four frameworks, and runs the tests on each of these
mutants. All must be caught: by a test that fails, or that never ends ("timeout"). A mutant that
does not even run counts as broken, not as caught.

{chr(10).join(f"- {line}" for line in sums(mutants, MODULES, found))}

## A mistake of your own

Mistakes are data, [tests/mutants.toml](../tests/mutants.toml): the text to find in each
framework's library module, or in `common.py`, and the text to put there.

```toml
[mask-one-off]
mistake = "one key behind the length gets a weight"
pytorch.find = 'torch.arange(shape[2], device=X.device) < lens'
pytorch.put = 'torch.arange(shape[2], device=X.device) <= lens'
# and so on for jax, mxnet, tensorflow
```

Try it with `python -m tests.mutants --mutant mask-one-off`, in one framework with
`--framework jax`. If it survives, a test is missing. With `--write`, what was run is brought up to
date on this page; `make mutants` does it for all. Where a chapter is changed, its mutants may no
longer find their text: `make test` names them.

## What caught which

A number stands for the test that failed first in that framework; "–" for a mistake that cannot be
made there.

{table(mutants, list(MODULES), found)}
"""


def found_before():
    """What the page tells of earlier runs, as in `table`."""
    return read_table(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Do the tests catch plausible mistakes?")
    parser.add_argument("--framework", choices=MODULES, action="append", help="only this one")
    parser.add_argument("--mutant", metavar="NAME", action="append", help="only this one")
    parser.add_argument("--jobs", type=int, default=2, help="how many frameworks at a time (2)")
    parser.add_argument("--list", action="store_true", help="name the mutants, run nothing")
    parser.add_argument("--write", action="store_true", help="bring docs/mutants.md up to date")
    arguments = parser.parse_args()
    mutants = read(DATA.read_text(encoding="utf-8"))
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.name:32}{mutant.mistake}")
        return 0
    names = [mutant.name for mutant in mutants]
    for name in arguments.mutant or ():
        if name not in names:
            parser.error(f"there is no mutant {name}; --list names them")
    chosen = [m for m in mutants if m.name in (arguments.mutant or names)]
    frameworks = arguments.framework or list(MODULES)
    for framework in frameworks:
        source = joined(modules(ROOT, framework))
        for mutant in chosen:
            try:
                mutate(source, mutant.edits.get(framework, ()))
            except StaleData as stale:
                sys.exit(f"{DATA.name}: {mutant.name}, {framework}: {stale}")

    complete = not arguments.mutant  # with a mutant of one's own one knows that the tests pass
    outcomes = run_all(chosen, frameworks, arguments.jobs, complete, found_before())
    found = {pair: outcome.test or outcome.verdict for pair, outcome in outcomes.items()}
    print(f"\n{table(chosen, frameworks, found)}\n")
    print("\n".join(sums(chosen, frameworks, found)))
    if arguments.write:
        PAGE.write_text(page(mutants, {**found_before(), **found}), encoding="utf-8")
    missed = {pair: result for pair, result in found.items() if result in ("survived", "broken")}
    for (name, framework), result in missed.items():
        print(f"{framework}: {name} {result}")
    return 1 if missed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
