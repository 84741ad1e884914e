"""Files that are dropped somewhere: in a folder here, or on a system elsewhere."""
