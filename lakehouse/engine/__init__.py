"""Two engines, one definition: embedded (DuckDB in the process) and Spark with Sedona."""
