"""Every table of the application: whoever needs all of them imports them from here, so that none is missing."""

from guerdon.accounts import models as accounts
from guerdon.accounts import models_denials as denials
from guerdon.accounts import models_members as members
from guerdon.activity import models as activity
from guerdon.activity.settlements import models as settlements
from guerdon.earning import models as earning
from guerdon.earning import models_volume as volume
from guerdon.kit import idempotency, jobs, outbox, presence
from guerdon.kit.models import Base, Scope
from guerdon.ledger import models as ledger
from guerdon.payouts import models as payouts
from guerdon.payouts import models_drops as drops
from guerdon.payouts.claims import models as claims
from guerdon.programs import models as programs
from guerdon.txmanager import models as txmanager

DECLARED_IN = (
    accounts, members, activity, claims, drops, earning, idempotency, jobs, ledger, outbox, payouts, presence, programs,
    txmanager, volume, denials, settlements,
)  # fmt: skip
"""The modules that declare tables."""
METADATA = Base.metadata
MAPPERS = Base.registry.mappers


def tables_in(scope: Scope) -> list[str]:
    """Names of the tables that live in a scope."""
    return sorted(table.name for table in METADATA.tables.values() if table.info.get("scope") == scope.value)
