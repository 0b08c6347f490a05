"""Which installation a database belongs to (SAFETY S21). Imported late: it brings the database with it."""

from __future__ import annotations

from uuid import UUID

from guerdon.kit.database import Database
from guerdon.kit.errors import GuerdonError
from guerdon.local.supervisor import StartError
from guerdon.operations import wait_for_schema
from guerdon.txmanager import repository_keys


async def deployment_id_of(database_url: str, otherwise: UUID) -> UUID:
    """The id that is written in the database; `otherwise` is written into one that has none. Raises `StartError`."""
    database = Database(database_url, pool_size=1)
    try:
        await wait_for_schema(database)
        async with database.platform() as session:
            await repository_keys.insert_deployment(session, otherwise)
            found = await repository_keys.deployment(session)
    except GuerdonError as error:
        raise StartError(error.message, "run `guerdon migrate` and `guerdon doctor`, which looks closer") from error
    finally:
        await database.close()
    return otherwise if found is None else found.id
