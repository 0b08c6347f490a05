"""What administration of programs refuses."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class ProgramRequiredError(GuerdonError, status=400, code="PROGRAM_REQUIRED", title="Program required"):
    """Say which program this is for: `X-Loyalteez-Brand-Id` or `brandId`; on the command line, its brand id."""


class ProgramMismatchError(GuerdonError, status=400, code="PROGRAM_MISMATCH", title="Program mismatch"):
    """This request names two programs, or another program than that of its key; name one."""


class ProgramNotFoundError(GuerdonError, status=404, code="PROGRAM_NOT_FOUND", title="Program not found"):
    """No program has this brand id; `guerdon program list` shows those that there are."""


class InvalidBrandIdError(GuerdonError, status=400, code="INVALID_BRAND_ID", title="Invalid brand id"):
    """A brand id is `0x` and 40 hexadecimal digits; `guerdon program list` shows those that there are."""


class BrandIdTakenError(GuerdonError, status=409, code="BRAND_ID_TAKEN", title="Brand id taken"):
    """Another program has this brand id; choose another, or leave it out to get a new one."""


class InvalidDomainError(GuerdonError, status=400, code="INVALID_DOMAIN", title="Invalid domain"):
    """A domain is a host name such as `shop.example.com`, or `*.example.com` for every host below one."""


class DomainNotFoundError(GuerdonError, status=404, code="DOMAIN_NOT_FOUND", title="Domain not found"):
    """The program does not have this domain."""


class AssetNotFoundError(GuerdonError, status=404, code="ASSET_NOT_FOUND", title="Asset not found"):
    """No asset has this symbol; `guerdon asset list` shows those that there are."""


class SecurityKeyNotFoundError(GuerdonError, status=404, code="SECURITY_KEY_NOT_FOUND", title="Security key not found"):
    """The program has no valid security key with this id."""


class LastSecurityKeyError(GuerdonError, status=409, code="LAST_SECURITY_KEY", title="Last security key"):
    """This is the program's only security key that does not expire; rotate it instead of revoking it."""


class AdminKeyNotFoundError(GuerdonError, status=404, code="ADMIN_KEY_NOT_FOUND", title="Admin key not found"):
    """There is no admin key with this id."""


class InvalidAdminKeyError(GuerdonError, status=401, code="INVALID_ADMIN_KEY", title="Unauthorized"):
    """Send a valid admin key as `Authorization: Bearer gk_…`; `guerdon admin-key create` makes one."""


class PlatformOnlyError(GuerdonError, status=403, code="PLATFORM_ONLY", title="Forbidden"):
    """Only an admin key of the platform may do this; the key of a program reaches what is the program's own."""
