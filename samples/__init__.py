"""The sample city: twelve departments that deliver for a week, with planted defects and the truth about each."""

from samples.city import DAYS
from samples.deliver import deliver
from samples.serve import serve

__all__ = ["DAYS", "deliver", "serve"]
