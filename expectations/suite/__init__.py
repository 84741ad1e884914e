"""Great Expectations: its vocabulary in contracts, contracts as its suites, and outcomes as its validation results.

Only `expectations.suite.run` imports great_expectations, which takes seconds; everything else here is plain data.
"""
