"""HTTP APIs: what is asked, page by page, and how far they have been read."""
