"""What members and their addresses look like over the wire, under the names that the rewards API has."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from guerdon.accounts.models import ProofMethod
from guerdon.accounts.models_members import Purpose
from guerdon.accounts.signatures import MAX_SIGNATURE_CHARACTERS
from guerdon.kit.api import AtomicText, Line, SnakeWire, Wire
from guerdon.programs.schemas import BrandId

NetworkText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=60),
    Field(description="A name such as `base` or `solana`, or a CAIP-2 id.", examples=["base"]),
]
AddressText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    Field(description="EVM: in any case. Solana: exactly as it is.", examples=["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"]),
]
SignatureText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_SIGNATURE_CHARACTERS),
    Field(description="Of the message, byte for byte. EVM: 0x and hexadecimal digits; Solana: base58."),
]
NonceText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class TransferView(SnakeWire):
    """A transfer of native coin that proves an address instead of a signature."""

    network: str
    to: str
    amount: AtomicText
    """Exactly so much of the smallest unit, asked for this once."""


class ChallengeView(SnakeWire):
    """What is to be signed, once, before it expires; or the transfer to make."""

    message: str
    nonce: str
    expires_at: datetime
    purpose: Purpose
    transfer: TransferView | None = None


class NewSignIn(SnakeWire):
    """A wallet that somebody wants to sign in with."""

    network: NetworkText
    address: AddressText


class ProofOfWallet(SnakeWire):
    """The signed challenge of a nonce."""

    nonce: NonceText
    signature: SignatureText


class ProofOfSignIn(ProofOfWallet):
    """The signed challenge, and how the session is to be kept."""

    cookie: Annotated[
        bool, Field(description="Keep the session in a cookie of the browser; on this installation's own pages only.")
    ] = False


class SessionView(SnakeWire):
    """Who is signed in, until when."""

    user_id: UUID
    expires_at: datetime
    brand_id: Annotated[str | None, Field(description="The one program that this session is good for; null: all.")]


class NewSession(SessionView):
    """A new session; `token` is shown this once, and is null where a cookie keeps it."""

    token: str | None


class IdentityView(SnakeWire):
    """A wallet that the user signs in with."""

    namespace: Literal["eip155", "solana"]
    chain_id: int | None
    address: str
    method: ProofMethod
    proven_at: datetime


class MembershipView(SnakeWire):
    """An account of the user in one program."""

    brand_id: str
    account_id: UUID


class WhoIsSignedIn(SessionView):
    """The user with what the session may see: wallets to sign in with, accounts by program."""

    identities: list[IdentityView]
    accounts: list[MembershipView]


class SignOut(SnakeWire):
    """Which sessions end."""

    everywhere: Annotated[bool, Field(description="All of yours; on a program's page those of that program.")] = False


class NewAccount(SnakeWire):
    """The program to have an account in."""

    brand_id: BrandId | None = None


class AddressView(SnakeWire):
    """An address of the account."""

    id: UUID
    rewards_account_id: UUID
    network: str
    address: str
    verified: bool
    namespace: str
    chain_id: Annotated[int | None, Field(description="The one chain that the proof holds on; null: all of the namespace.")]
    method: ProofMethod | None
    verified_at: datetime | None
    usable_from: Annotated[datetime | None, Field(description="When tokens may go there.")]
    primary: bool
    created_at: datetime


class AddressToProve(AddressView):
    """An address with its challenge; null where it is proven already."""

    challenge: ChallengeView | None


class AccountView(SnakeWire):
    """A rewards account."""

    id: UUID
    brand_id: str
    user_id: UUID | None
    primary_address: str | None
    earned_points: AtomicText
    claimed_points: AtomicText
    available_points: AtomicText
    tier: Annotated[str, Field(description="By settled volume now; `GET /api/rewards/balance` has what is missing to the next.")]
    asset: Annotated[str, Field(description="What the points are of: the program's own asset.")]
    created_at: datetime
    updated_at: datetime


class NewAddress(SnakeWire):
    """An address to be registered; again for a fresh challenge."""

    network: NetworkText
    address: AddressText
    proof: Annotated[
        Literal["signature", "transfer"],
        Field(description="`transfer`: the address can't sign, but sends an amount of native coin that is asked for once."),
    ] = "signature"


class AddressProof(SnakeWire):
    """What proves an address: the challenge's signature, or the transfer that it asked for."""

    signature: SignatureText | None = None
    transaction_hash: Annotated[str | None, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.signature is None) == (self.transaction_hash is None):
            message = "give `signature`, or `transaction_hash` of the transfer that was asked for"
            raise ValueError(message)
        return self


class Approval(Wire):
    """An operator's word that an address is its account's."""

    reason: Annotated[Line, Field(min_length=3, description="How you know; kept with the address.")]
    all_chains: Annotated[
        bool, Field(description="It is an ordinary account, not a contract, so it is the same person's on every EVM chain.")
    ] = False
    move: Annotated[bool, Field(description="Take it from the account that has it now.")] = False


class OperatorAddressView(Wire):
    """An address of a program's account, as operators see it."""

    id: UUID
    account_id: UUID
    network: str
    address: str
    verified: bool
    chain_id: int | None
    method: ProofMethod | None
    verified_at: datetime | None
    usable_from: datetime | None
    created_at: datetime
