# @title Run this first: it installs what this runtime lacks
# Whatever is installed already stays at its version: pip is held to that, and
# the end of this cell checks it. Running it again is quick and does no harm.
import importlib
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

# The chapters' library; pip adds what it needs and the runtime does not have.
LIBRARY = ["d2l-ext[EXTRAS] @ ARCHIVE"]
# These require other packages as they were years ago: they come without them.
ALONE = ["d2l==1.0.3"]
#: mxnet
# setuptools has the distutils that MXNet imports, up to version 79.
LIBRARY += ["graphviz", "setuptools<80"]
ALONE += ["mxnet==1.9.1"]

# MXNet's usual wheel knows no GPU. This tries its build for CUDA 11 instead: it
# fetches 2.3 GB, and nobody has seen it run on Colab's GPUs yet.
TRY_CUDA = False  # @param {type:"boolean"}
CUDA = [
    "nvidia-cublas-cu11==11.11.3.6",
    "nvidia-cuda-nvrtc-cu11==11.8.89",
    "nvidia-cuda-runtime-cu11==11.8.89",
    "nvidia-cudnn-cu11==8.9.6.50",
    "nvidia-cufft-cu11==10.9.0.58",
    "nvidia-curand-cu11==10.3.0.86",
    "nvidia-cusolver-cu11==11.4.1.48",
    "nvidia-cusparse-cu11==11.7.5.86",
    "nvidia-nccl-cu11==2.21.5",
    "nvidia-nvtx-cu11==11.8.86",
    "mxnet-cu112==1.9.1",
]
#:


def versions(*folders):
    """Installed packages as {name: version}; of two the one that is imported."""
    found = {}
    places = {"path": [str(folder) for folder in folders]} if folders else {}
    for package in metadata.distributions(**places):
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"] or "").lower()
        if name:
            found.setdefault(name, package.version)
    return found


def install(*what):
    """Run pip; a RuntimeError with what it said if it fails."""
    options = ["--disable-pip-version-check", "--retries=2", *what]
    command = [sys.executable, "-m", "pip", "install", *options]
    print(f"Installing {what[-1]} ...", flush=True)
    done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    why = "pip could not install what this notebook needs."
    offline = "NewConnectionError|name resolution|Max retries|timed out|unreachable"
    if "No module named pip" in said:
        why = "There is no pip here: Runtime > Disconnect and delete runtime, then again."
    elif re.search(offline, said):
        why = "pip could not reach the network: run this cell again in a moment."
    end = "\n".join(said.splitlines()[-12:])
    raise RuntimeError(f"{why}\nIt was asked for {what[-1]} and said:\n{end}")


def install_missing(before):
    """Install what is not among the packages `before`; change none of them."""
    lacking = [what for what in LIBRARY if re.match(r"[\w-]+", what)[0] not in before]
    if lacking:
        # A version that pip cannot read is of the system's own: not for us.
        readable = r"(\d+!)?\d+(\.\d+)*((a|b|rc)\d+)?(\.(post|dev)\d+)*(\+[\w.-]+)?"
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder, "constraints.txt")
            constraints.write_text(
                "".join(
                    f"{name}=={version}\n"
                    for name, version in before.items()
                    if re.fullmatch(readable, version or "")
                )
            )
            install("--constraint", str(constraints), *lacking)
    for package in ALONE:
        if package.partition("==")[0] not in before:
            install("--no-deps", package)


def show(before, after):
    """Print versions before and after; a RuntimeError if one has changed."""
    changed = [name for name in before if after.get(name) != before[name]]
    new = sorted(after.keys() - before.keys())
    known = ["numpy", "torch", "jax", "flax", "tensorflow", "keras", "d2l-ext"]
    print(f"{'package':<26}{'before':<16}after")
    for name in dict.fromkeys([*known, *changed, *new]):
        if name in before or name in after:
            print(f"{name:<26}{before.get(name, '-'):<16}{after.get(name, '-')}")
    if changed:
        raise RuntimeError(
            f"This has changed what was there before: {', '.join(changed)}. Start anew with "
            "Runtime > Disconnect and delete runtime, and please report it: REPOSITORY/issues"
        )
    print("Nothing that was there before has changed.")


def gpu():
    """The runtime's GPU as its driver calls it, "" if there is none."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


#: mxnet
def install_cuda():
    """Install MXNet for CUDA 11, and load the libraries that it asks for.

    They go into a folder of their own: some have the same file names as those
    that PyTorch and JAX use here, and would take their places.
    """
    import ctypes

    folder = Path.home() / "mxnet-cuda"
    if str(folder) in sys.path:
        return
    if "mxnet" in sys.modules:
        raise RuntimeError("MXNet is imported: Runtime > Restart session, then this cell first.")
    there = versions(folder)
    if any(package.partition("==")[0] not in there for package in CUDA):
        install("--no-deps", "--upgrade", "--target", str(folder), *CUDA)
    sys.path.insert(0, str(folder))
    for package in CUDA[:-1]:
        name = package.removeprefix("nvidia-").partition("-cu11")[0].replace("-", "_")
        for library in sorted(folder.glob(f"nvidia/{name}/lib/lib*.so.*")):
            ctypes.CDLL(str(library))


#:
packages_before = versions()
install_missing(packages_before)
#: mxnet
if TRY_CUDA and gpu():
    install_cuda()
#:
show(packages_before, versions())
#: pytorch, jax, tensorflow
if gpu():
    print(f"GPU: {gpu()}")
else:
    print(
        "There is no GPU here, so models train on the CPU, some minutes each. To get a GPU: "
        "Runtime > Change runtime type > T4 GPU > Save, then run this cell again."
    )
#: mxnet
if "mxnet-cu112" in versions():
    print(f"MXNet for CUDA 11 will try this GPU: {gpu()}")
elif TRY_CUDA:
    print("There is no GPU to try: Runtime > Change runtime type > T4 GPU > Save.")
else:
    print("MXNet computes on the CPU here, GPU or not; models train some minutes each.")
#:
