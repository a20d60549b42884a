"""What `make gpu-check` needs beside torch, jax and flax: is it there, and how does it get there?

Where the GPU is there may be no network. `make gpu-wheels`, run where there is one, downloads
wheels into build/wheels; `make gpu-check` unpacks those of what is not installed, and names what
is missing even so. This is run as a script, since the project's packages import some of it.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "build" / "wheels"
UNPACKED = WHEELS / "unpacked"
THERE = ("torch", "jax", "flax")  # whose wheels are too large to travel
# What is imported, by the name of the distribution that brings it
PACKAGES = {
    **{name: name for name in ("numpy", "optax", "matplotlib", "platformdirs", "pooch")},
    **{name: name for name in ("safetensors", "sacrebleu", "tokenizers", "tqdm", "pandas")},
    **{name: name for name in ("scipy", "requests", "pytest", "nbclient", "jupytext", "d2l")},
    "ipython": "IPython",
    "matplotlib-inline": "matplotlib_inline",
    "pillow": "PIL",
}
ALONE = ("optax", "d2l")  # their own needs are there, or would bring another jax or numpy
BROUGHT = ("numpy", "scipy")  # by jax; they are large
PLATFORM = [f"--platform=manylinux{version}_x86_64" for version in ("2014", "_2_27", "_2_28")]


def download():
    """Put wheels for Python 3.12 on Linux into the folder."""
    pip = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", "--python-version=3.12"]
    pip += [*PLATFORM, "--platform=any", f"--dest={WHEELS}"]
    pins = [f"--constraint={ROOT / 'requirements' / 'constraints.txt'}"]
    others = [name for name in PACKAGES if name not in (*ALONE, *BROUGHT)]
    subprocess.run([*pip, *pins, *others], check=True)
    subprocess.run([*pip, *pins, "--no-deps", *ALONE], check=True)
    for name in BROUGHT:
        for wheel in WHEELS.glob(f"{name}-*.whl"):
            wheel.unlink()


def unpack():
    """Unpack the wheels of what is not installed; return the folder."""
    shutil.rmtree(UNPACKED, ignore_errors=True)
    UNPACKED.mkdir(parents=True)
    for wheel in sorted(WHEELS.glob("*.whl")):
        name = wheel.name.partition("-")[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(UNPACKED)
    return UNPACKED


def missing():
    """Names of what can be imported neither from where it is installed nor from the wheels."""
    needed = {name: name for name in THERE} | PACKAGES
    return [name for name, module in needed.items() if importlib.util.find_spec(module) is None]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--download", action="store_true", help="fill build/wheels")
    if parser.parse_args(arguments).download:
        download()
        return 0
    sys.path.insert(0, str(unpack()))
    importlib.invalidate_caches()
    lacking = missing()
    if not lacking:
        return 0
    print(
        f"gpu-check: missing: {', '.join(lacking)}. Where there is a network, `make gpu-wheels` "
        "fills build/wheels with all but torch, jax and flax; take that folder along",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
