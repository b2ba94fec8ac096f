"""The experiments of the suite: plans of runs, the paper's numbers, the tables that put both side by side."""
