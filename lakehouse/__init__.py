"""The library under Citylake: knows no department, no dataset and no theme."""
