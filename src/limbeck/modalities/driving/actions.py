"""What a driver may decide. Stands alone"""

from __future__ import annotations

ACTIONS = ("left", "idle", "right", "faster", "slower")
"""In the simulator's order."""
LEFT, IDLE, RIGHT, FASTER, SLOWER = range(5)
