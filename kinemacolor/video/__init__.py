"""Reading films, writing them whole or in segments, and what a film says about itself."""
