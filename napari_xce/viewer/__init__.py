"""The only code that touches napari layers. No widgets here; all of it runs on the GUI thread."""
