"""What benchmarks/suggestions.py is made of: its report, and the time that suggestions take."""
