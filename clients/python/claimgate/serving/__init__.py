"""Wire-compatible messages of TensorFlow Serving."""
