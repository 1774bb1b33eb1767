"""The layers that the user draws in: reviewed regions, and areas to count in. GUI thread only.

Each comes when there is something to show in it, or something to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_xce.viewer import keys
from napari_xce.viewer.area_layer import AreaLayer
from napari_xce.viewer.frame import keep_selection
from napari_xce.viewer.region_layer import RegionLayer
from napari_xce.viewer.view import screen_px_per_pixel

if TYPE_CHECKING:
    from napari.layers import Layer, Shapes

    from napari_xce.viewer.binding import Binding


class DrawnShapes:
    """Show regions and areas as the session has them.

    Parameters
    ----------
    binding : Binding
        Its clicks are gone back to when a shape was drawn.
    annotated : callable
        Called when a region was drawn, changed or taken away.
    actions : mapping
        What our keys do.

    Attributes
    ----------
    regions : RegionLayer or None
    areas : AreaLayer or None
    """

    def __init__(
        self, binding: Binding, annotated: Callable[[], None], actions: keys.Actions
    ) -> None:
        self._binding = binding
        self._annotated = annotated
        self._actions = {k: act for k, act in actions.items() if k not in keys.OF_SHAPES}
        self.regions: RegionLayer | None = None
        self.areas: AreaLayer | None = None

    def begin(self) -> None:
        """Show the shapes that stand when the slide comes up."""
        self._show_regions()
        if self._binding.session.store.areas(self._binding.slide_id):
            with keep_selection(self._binding.viewer):
                self._add_areas()

    def show(self) -> None:
        """Show the shapes that stand now."""
        self._show_regions()
        self.show_areas()

    def _show_regions(self) -> None:
        """Show the reviewed regions, as soon as there are some."""
        binding = self._binding
        if self.regions is not None:
            self.regions.mirror()
        elif len(binding.session.store.annotations(binding.slide_id).of_kind("region")):
            with keep_selection(binding.viewer):
                self._add_regions()

    def show_areas(self) -> None:
        """Show the areas, as soon as there are some."""
        if self.areas is not None:
            self.areas.mirror()
        elif self._binding.session.store.areas(self._binding.slide_id):
            with keep_selection(self._binding.viewer):
                self._add_areas()
            self._binding.hooks.areas_changed()

    def draw_area(self, mode: str) -> None:
        """Let the user draw an area; `mode` is one of the areas layer's."""
        layers = self._binding.viewer.layers
        if self.areas is None or self.areas.layer not in layers:
            self._add_areas()
        assert self.areas is not None
        layers.selection.active = self.areas.layer
        self.areas.layer.mode = mode

    def tick(self) -> None:
        """Bring the areas up to date; every 100 ms."""
        if self.areas is not None:
            self.areas.tick()

    def fit(self, zoom: float) -> None:
        """Draw lines as thick as is right at so many screen pixels for each of the slide."""
        if self.areas is not None:
            self.areas.fit(zoom)

    @property
    def layers(self) -> list[Layer]:
        """The layers there are."""
        return [part.layer for part in (self.regions, self.areas) if part is not None]

    def close(self) -> None:
        """Take the layers away. May be called twice."""
        for part in (self.regions, self.areas):
            if part is not None:
                part.close()
                if part.layer in self._binding.viewer.layers:
                    self._binding.viewer.layers.remove(part.layer)

    def _add_regions(self) -> None:
        binding = self._binding
        self.regions = RegionLayer(
            binding.slide_layer,
            binding.session.store,
            binding.slide_id,
            self._region_drawn,
            self._annotated,
            binding.hooks.error,
        )
        self._put_in(self.regions.layer)

    def _add_areas(self) -> None:
        binding = self._binding
        self.areas = AreaLayer(
            binding.slide_layer,
            binding.session,
            binding.slide_id,
            self._area_drawn,
            binding.hooks.areas_changed,
            binding.hooks.error,
        )
        self.areas.fit(screen_px_per_pixel(binding.viewer, binding.slide_layer))
        self._put_in(self.areas.layer)

    def _put_in(self, layer: Layer) -> None:
        """Put a layer under the clicks, with our keys."""
        layers = self._binding.viewer.layers
        layers.insert(layers.index(self._binding.clicks.layer), layer)
        keys.bind(layer, self._actions)

    def _region_drawn(self) -> None:
        self._annotated()
        assert self.regions is not None
        self._back_to_clicks(self.regions.layer)

    def _area_drawn(self) -> None:
        assert self.areas is not None
        self._back_to_clicks(self.areas.layer)

    def _back_to_clicks(self, layer: Shapes) -> None:
        """Go back to clicking after a shape was drawn."""
        layer.mode = "pan_zoom"
        self._binding.viewer.layers.selection.active = self._binding.clicks.layer
