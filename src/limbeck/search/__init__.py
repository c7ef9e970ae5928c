"""`limbeck search`: which student fits a budget, and which settings teach it best"""
