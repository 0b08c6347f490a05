"""Every table of the application, imported in one place so that `Base.metadata` is complete."""

from guerdon.accounts import models as accounts
from guerdon.activity import models as activity
from guerdon.earning import models as earning
from guerdon.kit import idempotency, jobs, outbox
from guerdon.ledger import models as ledger
from guerdon.payouts import models as payouts
from guerdon.programs import models as programs
from guerdon.txmanager import models as txmanager

__all__ = ["accounts", "activity", "earning", "idempotency", "jobs", "ledger", "outbox", "payouts", "programs", "txmanager"]
