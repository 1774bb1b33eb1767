"""From the model to what is shown: tiles, heat, detections, masks, and the order they come in."""
