"""Task-independent methods: from the results of any method, frame by frame, to a film without flicker."""
