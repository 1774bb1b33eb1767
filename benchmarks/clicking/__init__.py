"""What benchmarks/clicks.py is made of: scenes, people who click, methods, tables."""
