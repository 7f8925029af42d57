"""Orders of the samples of an epoch, for ``Loader(order=...)``.

Each says which sample comes at a position of an epoch as a function of the loader's seed, the epoch and the position
alone, so that an epoch is resumed at any place, with any number of workers, ranks and rows of a batch. An epoch has as
many positions as the order says, of which batches and ranks take theirs in turn.
"""

from stokehold.orders.base import Order
from stokehold.orders.curriculum import Curriculum
from stokehold.orders.explicit import Explicit
from stokehold.orders.mixture import Mixture
from stokehold.orders.repeated import Repeated
from stokehold.orders.weighted import Weighted

__all__ = ["Curriculum", "Explicit", "Mixture", "Order", "Repeated", "Weighted"]
