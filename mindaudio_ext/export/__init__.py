"""A model as graphs for the host, for Ascend and as ONNX, their proof, and the 310 kit."""
