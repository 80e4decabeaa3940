"""Filters before and after the network: denoising, temporal smoothing, chroma upsampling."""
