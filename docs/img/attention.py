"""Takes attention.png, the README's heatmap, out of the executed notebook of chapter 05.

`make notebooks` calls it; tests/test_readme.py checks that the picture is the notebook's.
"""

import base64
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "pytorch" / "05_bahdanau_decoder.ipynb"
PICTURE = Path(__file__).with_suffix(".png")


def heatmap(notebook=NOTEBOOK):
    """Return the first attention heatmap of the notebook.

    Args:
        notebook: path of the executed chapter 05.

    Returns:
        Bytes of a PNG file.

    Raises:
        ValueError: if no cell that calls `draw(...)` shows a picture.
    """
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if "\ndraw(" in "\n" + "".join(cell["source"]):
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output["data"]["image/png"])
    raise ValueError(f"{notebook} shows no heatmap: run `make notebooks`")


if __name__ == "__main__":
    PICTURE.write_bytes(heatmap())
