"""One self-contained HTML page that says what a run came to: verdict first, the evidence behind it after."""

from .evidence import Evidence
from .page import write_report

__all__ = ["Evidence", "write_report"]
