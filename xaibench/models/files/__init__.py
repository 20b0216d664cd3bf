"""Models that are files: ONNX, exported and compiled torch programs, weights, skops and joblib."""
