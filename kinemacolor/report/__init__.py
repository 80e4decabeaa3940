"""What came of a film: pages, pictures and overlays for people."""
