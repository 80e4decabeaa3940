"""kinemacolor: colour a black-and-white film from a few coloured stills."""

__version__ = "0.1.0"
