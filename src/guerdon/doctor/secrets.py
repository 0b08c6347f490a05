"""Which secret keys the stored secrets need, and whether an older one can be taken away."""

from __future__ import annotations

from guerdon.doctor.findings import Finding, mend, note, ok
from guerdon.kit.database import Database
from guerdon.kit.secrets import SecretError, key_ring
from guerdon.rewrapping import under_other_keys
from guerdon.settings import Settings

AREA = "installation"
_CHECK = "secret keys"


async def look(settings: Settings, database: Database) -> list[Finding]:
    """What is under another key than the present one. Says nothing where there is no key: the wallets' check does."""
    if settings.secret_key is None and settings.secret_key_file is None and not (settings.data_dir / "secret.key").exists():
        return []
    try:
        ring = key_ring(settings)
    except SecretError as error:
        return [mend(AREA, _CHECK, str(error), "correct the secret keys in the settings")]
    left = await under_other_keys(database, ring)
    if not left:
        said = "everything stored is under the present one"
        return [
            note(AREA, _CHECK, f"{said}, and older ones are configured", "take GUERDON_OLDER_SECRET_KEYS away")
            if settings.older_secret_keys
            else ok(AREA, _CHECK, said)
        ]
    return [
        note(AREA, _CHECK, f"{count} {kind} are under the older key {key_id}", "guerdon secret rewrap; until then it is needed")
        if ring.has(bytes.fromhex(key_id))
        else mend(
            AREA, _CHECK, f"{count} {kind} are under key {key_id}, which is not configured", "add it to GUERDON_OLDER_SECRET_KEYS"
        )
        for (kind, key_id), count in sorted(left.items())
    ]
