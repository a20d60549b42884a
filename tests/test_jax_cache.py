"""JAX's compilation cache: it spares the next process the compiler, and is never in the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from d2l_ext import jax_cache
from tests import frameworks

pytestmark = pytest.mark.skipif(
    "jax" not in [framework.name for framework in frameworks.UNDER_TEST],
    reason="FRAMEWORK leaves JAX out",
)
ROOT = Path(__file__).parents[1]

# Prints the result, exactly, and how many programs came from the cache and from the compiler.
PROGRAM = """
import collections, os
{first}
from d2l_ext import compat
compat.prepare("jax")
import jax
seen = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: seen.update([event.split("/")[-1]]))
{before}
x = jax.numpy.linspace(0, 1, 1200).reshape(30, 40)
result = jax.jit(lambda x: jax.numpy.tanh(x @ x.T).sum())(x)
print(result.item().hex(), seen["cache_hits"], seen["cache_misses"])
"""


def start(cache, before="", first="", **environment):
    """Start the program in a process whose user has a cache folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment = {**kept, "XDG_CACHE_HOME": str(cache), **environment}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # what XLA says shall be seen here
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(first=first, before=before)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Return the result, the hits and the misses; nothing may have been said beside."""
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    result, hits, misses = out.split()
    return result, int(hits), int(misses)


def run(*arguments, **options):
    return finish(start(*arguments, **options))


def entries(cache):
    return sorted(cache.rglob("*-cache"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The result without a cache, which writes no file."""
    cache = tmp_path_factory.mktemp("off")
    result, hits, _ = run(cache, JAX_ENABLE_COMPILATION_CACHE="0")
    assert hits == 0
    assert not list(cache.iterdir())
    return result


@pytest.fixture
def filled(tmp_path, expected):
    result, hits, misses = run(tmp_path)
    assert (result, hits) == (expected, 0)
    assert 0 < len(entries(tmp_path)) <= misses
    return tmp_path


def test_the_next_process_compiles_nothing(filled, expected):
    result, hits, misses = run(filled)
    assert (result, misses) == (expected, 0)
    assert hits > 0


def test_the_folder_is_the_users_alone_and_of_one_version_and_processor(filled):
    import jaxlib

    (folder,) = {entry.parent for entry in entries(filled)}
    assert folder.parent == filled / "d2l_ext" / "jax"
    assert folder.name.startswith(f"jaxlib-{jaxlib.__version__}-")
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("place", ["a file", "/sys"])
def test_a_home_that_cannot_be_written_does_not_matter(tmp_path, expected, place):
    cache = Path(place)
    if place == "a file":
        cache = tmp_path / "file"
        cache.touch()
    elif not cache.is_dir():
        pytest.skip("there is no /sys, which not even root can write to")
    result, hits, _ = run(cache)
    assert (result, hits) == (expected, 0)


def test_a_user_without_a_home_does_not_matter(tmp_path, expected):
    """As in a container that is started with a user's number alone."""
    lines = (
        "import platformdirs",
        "def user_cache_dir(*_, **__): raise RuntimeError('could not determine the home')",
        "platformdirs.user_cache_dir = user_cache_dir",
    )
    result, hits, _ = run(tmp_path, first="\n".join(lines))
    assert (result, hits) == (expected, 0)


def test_a_full_disk_does_not_matter(tmp_path, expected):
    """A limit on the size of files stops a write in its middle, as a full disk does."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    assert run(tmp_path, full)[0] == expected
    sizes = [entry.stat().st_size for entry in entries(tmp_path)]
    assert sizes and max(sizes) <= 100  # or else nothing was tested
    assert run(tmp_path)[0] == expected  # with the halves of entries that it left


def test_two_processes_at_once_do_not_matter(tmp_path, expected):
    both = [start(tmp_path) for _ in range(2)]
    assert [finish(process)[0] for process in both] == [expected] * 2
    assert run(tmp_path)[2] == 0


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-50][::-1]])
def test_a_broken_entry_does_not_matter(filled, expected, damage):
    for entry in entries(filled):
        entry.write_bytes(damage(entry.read_bytes()))
    assert run(filled)[0] == expected


def test_a_folder_of_the_users_own_is_kept(tmp_path, expected):
    own, ours = tmp_path / "own", tmp_path / "ours"
    limits = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    assert run(ours, JAX_COMPILATION_CACHE_DIR=str(own), **limits)[0] == expected
    assert entries(own)
    assert not ours.exists()


def test_another_users_folder_is_not_trusted(filled, expected):
    result, hits, _ = run(filled, first="os.getuid = lambda: -1")
    assert (result, hits) == (expected, 0)


def test_the_oldest_entries_make_room(tmp_path, monkeypatch):
    for age, name in enumerate(["new", "old", "older"]):
        entry = tmp_path / f"{name}-cache"
        entry.write_bytes(b"x" * 10)
        os.utime(entry, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(jax_cache, "MOST_BYTES", 20)
    jax_cache._shrink(tmp_path)
    assert [entry.name for entry in entries(tmp_path)] == ["new-cache", "old-cache"]
