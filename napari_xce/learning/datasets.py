"""The labelled images the shipped weights are trained on, brought to one form and one scale.

Three open sets (licences: the package's NOTICE): brca_m2c (H&E, dots with a class), dsb2018
(nuclei with masks, four looks), cbc (blood smears; here only the white cells, as nuclei).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.hierarchy import fcluster, linkage
from skimage.measure import regionprops
from skimage.transform import resize

from napari_xce.learning.heads import REFERENCE_DIAMETER

BRCA_CLASSES = ("lymphocyte", "tumour", "stroma")
#: Patients with images in both published splits; left out of training.
BRCA_IN_BOTH_SPLITS = ("TCGA-A7-A13G", "TCGA-A7-A0DB")
#: White cells are scaled to this diameter, working pixels: about 11 um.
WHITE_CELL_DIAMETER = 22.0
CBC_MOSAIC = 3

Part = Literal["all", "train", "held out"]


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image at working resolution with what is known of its nuclei.

    Attributes
    ----------
    name, group : str
        The file, and what must stay on one side of a split (patient, or look).
    pixels : ndarray, uint8, shape (H, W, 3)
        RGB.
    points : ndarray, float64, shape (N, 2)
        Centres (y, x) of all nuclei, pixels.
    labels : ndarray, int64, shape (N,)
        Index into ``BRCA_CLASSES``, -1 where the class is not known.
    diameters : ndarray, float64, shape (N,)
        Pixels; NaN where not known.
    mask : ndarray, uint16, shape (H, W), or None
        Instance labels, 0 = background; None where only dots are known.
    """

    name: str
    group: str
    pixels: NDArray[np.uint8]
    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    diameters: NDArray[np.float64]
    mask: NDArray[np.uint16] | None = None


def patient_of(name: str) -> str:
    """Return the TCGA patient of an image name: its first three fields."""
    return "-".join(name.split("-")[:3])


def read_brca(data: Path, split: str) -> list[LabelledImage]:
    """Read brca_m2c, 0.5 um/px.

    Parameters
    ----------
    data : Path
        The folder that holds ``brca_m2c``.
    split : {"train", "val"}
        The published split; training leaves out the patients that both splits have.

    Returns
    -------
    list of LabelledImage
        In the order of the split file; the group is the patient.
    """
    folder = data / "brca_m2c"
    images = []
    for line in (folder / f"brca_ds_{split}.txt").read_text().split():
        name = Path(line).name.removesuffix(".png")
        if split == "train" and patient_of(name) in BRCA_IN_BOTH_SPLITS:
            continue
        table = np.loadtxt(folder / "labels" / f"{name}_gt_class_coords.txt", ndmin=2)
        pixels = imagecodecs.imread(folder / "images" / f"{name}.png")[..., :3]
        images.append(
            LabelledImage(
                name=name,
                group=patient_of(name),
                pixels=np.ascontiguousarray(pixels),
                points=table[:, :2].astype(np.float64),
                labels=table[:, 2].astype(np.int64) - 1,
                diameters=np.full(len(table), np.nan),
            )
        )
    return images


def read_dsb(data: Path, look: str, part: Part = "all") -> list[LabelledImage]:
    """Read one look of dsb2018, each image scaled so that its median nucleus has 16 pixels.

    Parameters
    ----------
    data : Path
        The folder that holds ``dsb2018``.
    look : str
        Its folder there.
    part : {"all", "train", "held out"}
        Many images are cut from the same few slides, so whole groups of images that look alike
        are held out (``look_alikes``): of the groups, in falling order of nuclei, the third of
        each four, and of fewer than three the last.

    Returns
    -------
    list of LabelledImage
        In the order of names; the group is the look and the number of the look-alikes.
    """
    raw = []
    for path in sorted((data / "dsb2018" / look).glob("*.png")):
        mask = tifffile.imread(path.with_name(f"{path.stem}_labels.tif"))
        raw.append((path.stem, imagecodecs.imread(path)[..., :3], mask))
    groups = look_alikes([pixels for _, pixels, _ in raw], [mask for _, _, mask in raw])
    count = int(groups.max()) + 1
    held_out = (groups % 4 == 2) if count > 2 else (groups == count - 1)
    images = []
    for (name, pixels, mask), number, out in zip(raw, groups, held_out, strict=True):
        if part != "all" and out != (part == "held out"):
            continue
        image = _scale_to_reference(name, f"{look}-{number}", pixels, mask)
        if look == "fluorescence":
            image = _stain_fluorescence(image)
        images.append(image)
    return images


def look_alikes(
    pixels: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.integer]]
) -> NDArray[np.int64]:
    """Group images that look as if cut from one slide.

    Parameters
    ----------
    pixels : sequence of ndarray, uint8, shape (H, W, 3)
    masks : sequence of ndarray, int, shape (H, W)
        Instance labels, 0 = background.

    Returns
    -------
    ndarray, int64, shape (N,)
        Number of each image's group; group 0 has the most nuclei.

    Notes
    -----
    Average linkage of the median colours of background and nuclei (grey levels) and five times the
    mean diameter of a nucleus (pixels), cut at a distance of 30.
    """
    if len(pixels) < 2:
        return np.zeros(len(pixels), np.int64)
    counts = np.array([len(np.unique(mask[mask > 0])) for mask in masks])
    looks = []
    for image, mask, count in zip(pixels, masks, counts, strict=True):
        diameter = np.sqrt(4 / np.pi * (mask > 0).sum() / max(count, 1))
        colours = [np.median(image[mask == 0], 0), np.median(image[mask > 0], 0)]
        looks.append(np.concatenate([*colours, [5 * diameter]]))
    number = fcluster(linkage(np.array(looks), "average"), 30, "distance") - 1
    nuclei = np.bincount(number, weights=counts)
    rank = np.empty(len(nuclei), np.int64)
    rank[np.argsort(-nuclei, kind="stable")] = np.arange(len(nuclei))
    return rank[number]


def _scale_to_reference(
    name: str, group: str, pixels: NDArray[np.uint8], mask: NDArray[np.uint16]
) -> LabelledImage:
    """Scale image and mask so that the median nucleus has the reference diameter."""
    regions = regionprops(mask)
    diameters = np.array([r.equivalent_diameter_area for r in regions])
    scale = REFERENCE_DIAMETER / float(np.median(diameters)) if len(regions) else 1.0
    scale = float(np.clip(scale, 0.25, 3.0))
    shape = tuple(max(32, round(n * scale)) for n in mask.shape)
    scaled = resize(pixels, shape, order=1, anti_aliasing=scale < 1, preserve_range=True)
    small = resize(mask, shape, order=0, anti_aliasing=False, preserve_range=True)
    factor = np.array(shape) / mask.shape
    centres = np.array([r.centroid for r in regions]).reshape(-1, 2)
    return LabelledImage(
        name=name,
        group=group,
        pixels=np.clip(scaled + 0.5, 0, 255).astype(np.uint8),
        points=(centres + 0.5) * factor - 0.5,
        labels=np.full(len(regions), -1),
        diameters=diameters * scale,
        mask=small.astype(np.uint16),
    )


def _stain_fluorescence(image: LabelledImage) -> LabelledImage:
    """Turn bright nuclei on black into haematoxylin on white (Beer-Lambert)."""
    light = image.pixels.astype(np.float32).mean(2)
    light = np.clip(light / max(1.0, float(np.percentile(light, 99.5))), 0, 1)
    haematoxylin = np.array([0.65, 0.70, 0.29], np.float32)
    pixels = 255.0 * np.exp(-1.6 * light[..., None] * haematoxylin)
    return LabelledImage(
        image.name,
        image.group,
        pixels.astype(np.uint8),
        image.points,
        image.labels,
        image.diameters,
        image.mask,
    )


def cbc_is_held_out(name: str) -> bool:
    """Tell whether a cbc image is kept from training: every fifth by its number."""
    return int(name.removeprefix("BloodImage_")) % 5 == 0


def read_cbc_boxes(path: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield (class name, box (y0, x0, y1, x1) in pixels) of a cbc annotation file."""
    for item in ET.parse(path).getroot().iter("object"):
        box = item.find("bndbox")
        assert box is not None
        y0, x0, y1, x1 = (float(box.findtext(k, "nan")) for k in ("ymin", "xmin", "ymax", "xmax"))
        if y1 > y0 and x1 > x0:  # one published box has no size
            yield item.findtext("name", ""), np.array([y0, x0, y1, x1])


def read_cbc_white_cells(data: Path) -> list[LabelledImage]:
    """Read the training share of cbc as mosaics in which white cells are nuclei."""
    folder = data / "cbc"
    tiles = []
    for path in sorted((folder / "images").glob("*.jpg")):
        if cbc_is_held_out(path.stem):
            continue
        boxes = [b for n, b in read_cbc_boxes(folder / "boxes" / f"{path.stem}.xml") if n == "WBC"]
        if boxes:
            tiles.append((imagecodecs.imread(path), np.array(boxes)))
    per_mosaic = CBC_MOSAIC**2
    return [
        _mosaic(f"cbc-{k // per_mosaic}", tiles[k : k + per_mosaic])
        for k in range(0, len(tiles) - per_mosaic + 1, per_mosaic)
    ]


def _mosaic(name: str, tiles: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]) -> LabelledImage:
    """Scale blood images so that white cells are nucleus-sized and lay them side by side."""
    sides = np.concatenate([(b[:, 2:] - b[:, :2]).mean(1) for _, b in tiles])
    scale = WHITE_CELL_DIAMETER / float(np.median(sides))
    rows, points, diameters = [], [], []
    for i in range(CBC_MOSAIC):
        row = []
        for j in range(CBC_MOSAIC):
            pixels, boxes = tiles[i * CBC_MOSAIC + j]
            height, width = (round(n * scale) for n in pixels.shape[:2])
            small = resize(pixels, (height, width), anti_aliasing=True, preserve_range=True)
            row.append(small.astype(np.uint8))
            centres = ((boxes[:, :2] + boxes[:, 2:]) / 2 + 0.5) * scale - 0.5
            points.append(centres + (i * height, j * width))
            diameters.append((boxes[:, 2:] - boxes[:, :2]).mean(1) * scale)
        rows.append(np.concatenate(row, 1))
    centres = np.concatenate(points)
    return LabelledImage(
        name=name,
        group="cbc",
        pixels=np.concatenate(rows, 0),
        points=centres,
        labels=np.full(len(centres), -1),
        diameters=np.concatenate(diameters),
    )


def distance_to_points(shape: tuple[int, int], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the distance, pixels, of every pixel to the nearest point (float32, ``shape``)."""
    free = np.ones(shape, bool)
    rows, columns = np.round(points).astype(int).T
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    free[rows[inside], columns[inside]] = False
    if free.all():
        return np.full(shape, np.inf, np.float32)
    return ndimage.distance_transform_edt(free).astype(np.float32)
