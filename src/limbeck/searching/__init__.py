"""`limbeck search`: which student fits a budget, and which settings teach it best.

Optuna proposes (:mod:`limbeck.searching.space` says what), costs are measured before anything is trained, the weak stop early,
and the same student without a teacher is searched for as long. Optuna is imported by these modules alone, when they need it.
"""
