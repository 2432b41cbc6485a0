"""Which labels and predictions are probably wrong, and why."""

from gragr_explain.audit._audit import audit
from gragr_explain.audit._result import Audit

__all__ = ["Audit", "audit"]
