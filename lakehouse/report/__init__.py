"""Pages: typed records in, self-contained HTML and JSON out. Charts are SVG, nothing is fetched."""
