"""Reports on a colored film for people: a page, contact sheets, and an overlay of the confidence."""
