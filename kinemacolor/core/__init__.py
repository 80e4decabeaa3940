"""Records, color arithmetic, errors and small tools that every room may use."""
