"""Write napari_xce/evaluation/appearance.json: the look of the tissue that the weights know.

    python scripts/appearance.py DATA

DATA is the folder that holds brca_m2c; its training images are described.
"""

import json
import sys
from pathlib import Path

from napari_xce.evaluation.appearance import REFERENCE, describe_training, look_at
from napari_xce.learning.datasets import read_brca


def main() -> None:
    """Describe the training images and write the file."""
    looks = [look_at(image.pixels) for image in read_brca(Path(sys.argv[1]), "train")]
    described = describe_training([look for look in looks if look is not None])
    REFERENCE.write_text(json.dumps({"source": "brca_m2c train", **described}) + "\n", "utf-8")


if __name__ == "__main__":
    main()
