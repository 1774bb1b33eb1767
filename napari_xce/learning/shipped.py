"""The weights in the package: what every session starts from."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_xce.errors import ModelError
from napari_xce.learning.heads import MaskDecoder, Proposals, Proposer
from napari_xce.learning.trunk import Features, Trunk

WEIGHTS = Path(__file__).parent / "weights" / "trunk.safetensors"


class ShippedModel(nn.Module):
    """Trunk, proposer and mask decoder: nuclei of any kind, before any click."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.proposer = Proposer()
        self.mask = MaskDecoder()

    def forward(self, pixels: Tensor) -> tuple[Features, Proposals]:
        """Return features and proposals for pixels, float 0..1, shape (B, 3, H, W)."""
        features = self.trunk(pixels)
        return features, self.proposer(features)

    def save(self, path: Path) -> None:
        """Write all weights as safetensors."""
        state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        save_file(state, path)

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> ShippedModel:
        """Read the weights; the model comes in evaluation mode.

        Raises
        ------
        ModelError
            The file is missing, damaged, or of another network.
        """
        model = cls()
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelError(
                f"The weights in {path.name} cannot be used ({type(error).__name__}). "
                "Install napari-xce again, or choose another model file."
            ) from error
        return model.eval()
