"""The crash-point sweep: imagemill stopped at each of sixteen boundaries, started again, and its books checked.

boundaries   the table: where each boundary is met in the product, and how everything must end
stops, link  plant the stop into the process under test; the product itself knows nothing of it
forked       processes that start in milliseconds and die by real signals
pairs        where a case runs: which ledger, which broker
case         one case from the crash to the verdict
"""
