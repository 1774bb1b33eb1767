"""The numbers of a report: cells and densities by place, indices, distances, hot spots.

Pure numpy, scipy and shapely; runs on any thread. Points are level-0 pixels, (y, x); shapely
outlines are (x, y) in the same frame; results are in micrometres and square millimetres, or None
where the pixel size is unknown.
"""

from napari_xce.measures.distances import Distance, nearest_distances
from napari_xce.measures.hotspots import HotSpot, hot_spots
from napari_xce.measures.indices import Fraction, Grades, h_score, positive_fraction
from napari_xce.measures.measure import Measures, measure
from napari_xce.measures.places import Place, place_of_box, place_of_outline
from napari_xce.measures.table import COLUMNS, as_rows

__all__ = [
    "COLUMNS",
    "Distance",
    "Fraction",
    "Grades",
    "HotSpot",
    "Measures",
    "Place",
    "as_rows",
    "h_score",
    "hot_spots",
    "measure",
    "nearest_distances",
    "place_of_box",
    "place_of_outline",
    "positive_fraction",
]
