"""What a node answers instead of a result: JSON-RPC's own errors, and Solana's with their documented codes and words."""

from __future__ import annotations

from typing import Any, Final

INVALID_PARAMS: Final = -32602

_PLAIN: Final = {
    "AccountInUse": "Account in use",
    "AccountLoadedTwice": "Account loaded twice",
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AddressLookupTableNotFound": "Transaction loads an address table account that doesn't exist",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "CallChainTooDeep": "Loader call chain is too deep",
    "ClusterMaintenance": "Transactions are currently disabled due to cluster maintenance",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "InvalidAccountIndex": "Transaction contains an invalid account reference",
    "InvalidProgramForExecution": "This program may not be used for executing instructions",
    "InvalidWritableAccount": "Transaction contains an invalid writable account",
    "MaxLoadedAccountsDataSizeExceeded": "Transaction exceeded max loaded accounts data size cap",
    "MissingSignatureForFee": "Transaction requires a fee but has no signature present",
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "SanitizeFailure": "Transaction failed to sanitize accounts offsets correctly",
    "SignatureFailure": "Transaction did not pass signature verification",
    "TooManyAccountLocks": "Transaction locked too many accounts",
    "UnbalancedTransaction": "Sum of account balances before and after transaction do not match",
    "UnsupportedVersion": "Transaction version is unsupported",
}
_INSTRUCTION: Final = {
    "AccountAlreadyInitialized": "instruction requires an uninitialized account",
    "AccountBorrowFailed": "instruction tries to borrow reference for an account which is already borrowed",
    "ComputationalBudgetExceeded": "Computational budget exceeded",
    "ExternalAccountLamportSpend": "instruction spent from the balance of an account it does not own",
    "ExternalAccountDataModified": "instruction modified data of an account it does not own",
    "GenericError": "generic instruction error",
    "IllegalOwner": "Provided owner is not allowed",
    "IncorrectProgramId": "incorrect program id for instruction",
    "InsufficientFunds": "insufficient funds for instruction",
    "InvalidAccountData": "invalid account data for instruction",
    "InvalidAccountOwner": "Invalid account owner",
    "InvalidArgument": "invalid program argument",
    "InvalidInstructionData": "invalid instruction data",
    "InvalidSeeds": "Provided seeds do not result in a valid address",
    "MaxInstructionTraceLengthExceeded": "Max instruction trace length exceeded",
    "MissingAccount": "An account required by the instruction is missing",
    "MissingRequiredSignature": "missing required signature for instruction",
    "NotEnoughAccountKeys": "insufficient account keys for instruction",
    "PrivilegeEscalation": "Cross-program invocation with unauthorized signer or writable account",
    "ProgramFailedToComplete": "Program failed to complete",
    "UnbalancedInstruction": "sum of account balances before and after instruction do not match",
    "UninitializedAccount": "instruction requires an initialized account",
    "UnsupportedProgramId": "Unsupported program id",
}


class RpcFaultError(Exception):
    """A call that is answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, Any]:
        """The `error` of an answer."""
        return {"code": self.code, "message": self.message, **({} if self.data is None else {"data": self.data})}


def invalid(message: str) -> RpcFaultError:
    """Parameters that do not fit."""
    return RpcFaultError(INVALID_PARAMS, message)


def too_early(slot: int) -> RpcFaultError:
    """The caller wants an answer of a slot that this node has not reached."""
    return RpcFaultError(-32016, "Minimum context slot has not been reached", {"contextSlot": slot})


def describe(error: Any) -> str:
    """A transaction error in a node's words."""
    if isinstance(error, str):
        return _PLAIN.get(error, error)
    kind, value = next(iter(error.items()))
    if kind == "InstructionError":
        place, inner = value
        return f"Error processing Instruction {place}: {_describe_instruction(inner)}"
    if kind == "InsufficientFundsForRent":
        return f"Transaction results in an account ({value['account_index']}) with insufficient funds for rent"
    if kind == "DuplicateInstruction":
        return f"Transaction contains a duplicate instruction ({value}) that is not allowed"
    return str(kind)


def _describe_instruction(error: Any) -> str:
    if isinstance(error, str):
        return _INSTRUCTION.get(error, error)
    kind, value = next(iter(error.items()))
    return f"custom program error: {value:#x}" if kind == "Custom" else f"{kind}: {value}"
