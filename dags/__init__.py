"""When it runs. A DAG file names steps, order, retries and pools; what a step does is in `jobs`."""
