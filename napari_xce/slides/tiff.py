"""Slides of the TIFF family, tile by tile, straight from the file.

SVS, OME-TIFF, (Big)TIFF pyramids and plain TIFF:

tifffile reads the directories once; after that a tile is one read at its place and one call of
imagecodecs. Through zarr or dask the same tiles come 3 to 16 times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_xce.errors import SlideError
from napari_xce.slides import pixelsize
from napari_xce.slides.array import guess_value_range, to_rgb
from napari_xce.slides.files import PositionedFile
from napari_xce.slides.source import Rgb, TiledSource, UnsupportedSlide, true_downsamples
from napari_xce.slides.tiff_levels import pyramid_of

_STRIP_BYTES = 512 * 1024
_WHITE_IS_ZERO, _PALETTE = 0, 3
_READABLE_PHOTOMETRICS = {0, 1, 2, 3, 6}  # white is zero, black is zero, RGB, palette, YCbCr
_APERIO_YCBCR_JPEG2000 = 33003


class TiffSource(TiledSource):
    """A TIFF whose tiles or strips are decoded one by one.

    Raises
    ------
    UnsupportedSlide
        If it is no TIFF, or holds pixels in a way that OpenSlide knows better.
    SlideError
        If it is a stack of channels, planes or times, or incomplete.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._name = path.name
        try:
            tiff = tifffile.TiffFile(path)
        except (tifffile.TiffFileError, OSError) as error:
            raise UnsupportedSlide(f"tifffile: {error}.") from error
        with tiff:
            pyramid = pyramid_of(tiff)
            self.mpp, self.mpp_source = pixelsize.of_tiff(tiff, pyramid[0][0].keyframe)
            self._levels = [[_Segments(page) for page in planes] for planes in pyramid]
        self.level_shapes = [segments[0].shape for segments in self._levels]
        self.level_downsamples = true_downsamples(self.level_shapes)
        self.tile_shapes = [segments[0].tile_shape for segments in self._levels]
        self._file = PositionedFile(path)
        try:
            self._check_complete()
            self._range = guess_value_range(self._probe())
        except BaseException:
            self.close()
            raise

    def decode_tile(self, level: int, row: int, column: int) -> Rgb:
        """Return uint8 (height, width, 3) of one tile; an empty tile is white."""
        rgb = to_rgb(self._pixels(level, row, column), self._range)
        return rgb if rgb.base is None else rgb.copy()

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        self._file.close()
        super().close()

    def _pixels(self, level: int, row: int, column: int) -> NDArray[Any]:
        """Return one tile as it is stored, planes side by side: (height, width, samples)."""
        try:
            planes = [segments.read(self._file, row, column) for segments in self._levels[level]]
        except SlideError:
            raise
        except Exception as error:  # whatever tifffile and the codecs raise on damaged bytes
            raise SlideError(
                f"Part of {self._name} cannot be decoded (level {level}, row {row}, column "
                f"{column}): {error}. The file is damaged; copy it again."
            ) from error
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)

    def _probe(self) -> NDArray[Any]:
        """Decode the middle tile of every level, so that what cannot be read shows at once.

        Returns the pixels of the coarsest level's, flat.
        """
        for level, (shape, tile) in enumerate(
            zip(self.level_shapes, self.tile_shapes, strict=True)
        ):
            try:
                pixels = self._pixels(level, shape[0] // 2 // tile[0], shape[1] // 2 // tile[1])
            except SlideError as error:
                raise UnsupportedSlide(str(error)) from error
        if pixels.dtype != np.uint8:
            rows, columns = (-(-n // t) for n, t in zip(shape, tile, strict=True))
            picks = np.linspace(0, rows * columns - 1, min(rows * columns, 64)).astype(int)
            parts = [self._pixels(level, *divmod(int(i), columns)).ravel() for i in picks]
            pixels = np.concatenate(parts)
        return pixels

    def _check_complete(self) -> None:
        """Refuse a file that ends before its pixels do."""
        end = max(segments.end for planes in self._levels for segments in planes)
        if end > self._file.size:
            raise SlideError(
                f"{self._name} is incomplete: it has {self._file.size} bytes, its pixels need "
                f"{end}. Copy it again."
            )


class _Segments:
    """Where the tiles or strips of one page are, and how they are decoded."""

    def __init__(self, page: Any) -> None:  # a tifffile.TiffPage or TiffFrame
        key = page.keyframe
        _check_readable(key)
        self.shape: tuple[int, int] = (key.imagelength, key.imagewidth)
        self._key = key
        self._decode: Callable[..., Any] = key.decode
        self._palette = _palette(key)
        self._tables = {"jpegtables": key.jpegtables, "jpegheader": key.jpegheader}
        self._raw = key.compression == 1 and key.is_contiguous and key.dtype.itemsize <= 4
        self._separate = key.samplesperpixel if key.planarconfig == 2 else 1
        self._offsets = np.asarray(page.dataoffsets, np.int64)
        self._counts = np.asarray(page.databytecounts, np.int64)
        if self._raw and not key.is_tiled and self._separate == 1 and key.bitspersample % 8 == 0:
            self._cut_into_strips()
        else:
            self._raw = False
            strip = min(key.rowsperstrip or key.imagelength, key.imagelength)
            self.tile_shape = (
                (key.tilelength, key.tilewidth) if key.is_tiled else (strip, key.imagewidth)
            )
        self._columns = -(-self.shape[1] // self.tile_shape[1])
        self._per_plane = -(-self.shape[0] // self.tile_shape[0]) * self._columns
        if len(self._offsets) < self._per_plane * self._separate:
            raise SlideError(
                "This TIFF lacks the places of some of its tiles; it is damaged. Copy it again."
            )

    @property
    def end(self) -> int:
        """Position after the last byte of pixels."""
        return int((self._offsets + self._counts).max(initial=0))

    def read(self, file: PositionedFile, row: int, column: int) -> NDArray[Any]:
        """Return (height, width, samples) of one tile or strip."""
        index = row * self._columns + column
        planes = [
            self._segment(file, index + plane * self._per_plane) for plane in range(self._separate)
        ]
        pixels = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)
        return self._as_stored_colours(pixels)

    def _segment(self, file: PositionedFile, index: int) -> NDArray[Any]:
        """Read and decode one segment; a segment without bytes is white."""
        offset, count = int(self._offsets[index]), int(self._counts[index])
        if count == 0:
            return self._blank()
        data = file.read(offset, count)
        if self._raw:
            dtype = self._key.dtype.newbyteorder(self._key.parent.byteorder)
            return np.frombuffer(data, dtype).reshape(-1, self.shape[1], self._key.samplesperpixel)
        decoded, _, shape = self._decode(data, index, **self._tables)
        return np.asarray(decoded[0, : shape[1], : shape[2]])

    def _blank(self) -> NDArray[Any]:
        """Return a white segment."""
        dtype = self._key.dtype
        samples = self._key.samplesperpixel // self._separate
        top = np.iinfo(dtype).max if dtype.kind in "ui" else 1
        white = 0 if self._key.photometric == _WHITE_IS_ZERO else top
        return np.full((*self.tile_shape, samples), white, dtype)

    def _as_stored_colours(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Look up the palette, invert white-is-zero, cut samples that are no colours."""
        if self._palette is not None:
            return np.asarray(self._palette[pixels[..., 0]])
        if self._key.photometric == _WHITE_IS_ZERO:
            top = 1 if pixels.dtype == np.bool_ else np.iinfo(pixels.dtype).max
            return np.asarray(top - pixels.astype(np.int64)).astype(pixels.dtype)
        if pixels.shape[2] == 2:  # grey with alpha
            return pixels[..., :1]
        return pixels[..., :4] if self._has_alpha() else pixels[..., : min(3, pixels.shape[2])]

    def _has_alpha(self) -> bool:
        """Say whether the fourth sample is an alpha channel."""
        extra = self._key.extrasamples
        return self._key.samplesperpixel == 4 and bool(extra) and int(extra[0]) in (1, 2)

    def _cut_into_strips(self) -> None:
        """Read uncompressed rows that lie in one piece in strips of a handy size."""
        row_bytes = self.shape[1] * self._key.samplesperpixel * self._key.dtype.itemsize
        rows = min(self.shape[0], max(1, _STRIP_BYTES // row_bytes))
        starts = np.arange(0, self.shape[0], rows, dtype=np.int64)
        self.tile_shape = (rows, self.shape[1])
        self._offsets = self._offsets[0] + starts * row_bytes
        self._counts = np.minimum(rows, self.shape[0] - starts) * row_bytes


def _palette(key: Any) -> NDArray[np.uint8] | None:
    """Return the colours of a palette, uint8 (entries, 3), or None."""
    if key.photometric != _PALETTE:
        return None
    table = np.asarray(key.colormap) >> 8  # (3, entries), 16 bits by the TIFF standard
    return table.T.astype(np.uint8)


def _check_readable(key: Any) -> None:
    """Refuse encodings that are left to OpenSlide or to nobody."""
    if key.compression == _APERIO_YCBCR_JPEG2000:
        raise UnsupportedSlide(
            "Aperio JPEG 2000 in YCbCr is read by OpenSlide, which converts its colours."
        )
    if int(key.photometric) not in _READABLE_PHOTOMETRICS or key.samplesperpixel > 4:
        name = getattr(key.photometric, "name", key.photometric)
        raise UnsupportedSlide(
            f"Its colours ({name}, {key.samplesperpixel} samples per pixel) are not RGB. "
            "Convert it to RGB."
        )
    if key.dtype is None:
        raise UnsupportedSlide(
            f"Its pixels ({key.bitspersample} bits) are of no known kind. Convert it to 8-bit RGB."
        )
