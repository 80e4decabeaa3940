"""Other colorizers: a record of each, and adapters that run them in their own Python."""
