"""Causal networks: what they say of a place in an image depends on the places before it only."""

from lightning_gen.lazy import lazy_exports

CAUSAL_NETWORKS = {
    "CausalNetwork": "base",
    "MADENetwork": "made",
    "PixelCNNNetwork": "pixel_cnn",
    "GatedPixelCNNNetwork": "gated_pixel_cnn",
    "RowLSTMNetwork": "row_lstm",
    "DiagonalBiLSTMNetwork": "diagonal_bilstm",
    "PixelCNNPPNetwork": "pixel_cnn_pp",
    "CoordinatePixelRNNNetwork": "coordinate_pixel_rnn",
    "WaveNetNetwork": "wavenet",
    "ImageTransformerNetwork": "image_transformer",
}

__getattr__, __dir__ = lazy_exports(__name__, CAUSAL_NETWORKS)
