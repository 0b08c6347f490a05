"""Measures the product on the machine at hand: `python -m bench` (`make bench`). Figures and how to read them: RESULTS.md."""
