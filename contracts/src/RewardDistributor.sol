// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Pays a list of recipients in one transaction, at most once.
/// @notice A batch is known by an id that is computed from its contents. Each payer has its own batches, each of
/// them new, paid or void: a paid or void one can never be paid (again), whatever is sent or sent twice.
/// @dev No owner, no upgrade, no balance: tokens go from the payer, who has approved this contract, straight to
/// each recipient. Tokens that take a fee on transfer or change balances by themselves are out of scope: recipients
/// would get what such a token leaves them, and nothing here would notice.
///
/// A payment is one word, `recipient << 96 | amount`: 32 bytes of calldata instead of 64, which is most of the
/// data fee on rollups. It limits one payment to 2^96 - 1 of the token's smallest unit.
contract RewardDistributor {
    enum Status {
        New,
        Paid,
        Void
    }

    mapping(address payer => mapping(bytes32 id => Status)) private _status;

    /// @notice The batch `batchId`, which `payer` names `batch`, was paid in full.
    event BatchPaid(address indexed payer, bytes32 indexed batchId, bytes16 batch);
    /// @notice The batch `supersededId` of `payer` can't be paid any more: `batchId` was paid in its place.
    event BatchVoided(address indexed payer, bytes32 indexed supersededId, bytes32 indexed batchId);

    /// @notice This batch was paid before.
    error BatchAlreadyPaid(bytes32 batchId);
    /// @notice This batch was superseded by another one that was paid.
    error BatchIsVoid(bytes32 batchId);
    /// @notice A batch that this one would replace was paid: its payments must not be made again.
    error SupersededBatchPaid(bytes32 supersededId);
    /// @notice A batch can't replace itself.
    error BatchSupersedesItself(bytes32 batchId);
    /// @notice The list of payments is empty.
    error NothingToPay();
    /// @notice There is no contract at the token's address.
    error TokenHasNoCode(address token);
    /// @notice The payment at `index` names no recipient, the token or this contract as recipient, or no amount.
    error PaymentRefused(uint256 index, address recipient, uint256 amount);
    /// @notice The token did not move the payment at `index`: it reverted with `reason` (its first 256 bytes) or
    /// answered anything but true.
    error PaymentFailed(uint256 index, address recipient, bytes reason);

    /// @notice Pays every recipient of the list from the caller's balance, all or none. For anyone who has approved
    /// this contract for the sum; there is no other way to make it move tokens.
    /// @param token The token to pay in.
    /// @param batch The caller's name for the batch, 16 bytes (a UUID).
    /// @param supersedes Ids of earlier batches of the caller that this one stands in for. They become void.
    /// @param payments `recipient << 96 | amount`, one word each.
    /// @dev Reverts `BatchAlreadyPaid` or `BatchIsVoid` for a batch that is not new, `SupersededBatchPaid` if any
    /// earlier one was paid (a void one may be named again), `BatchSupersedesItself`, `NothingToPay`,
    /// `TokenHasNoCode`, `PaymentRefused`, `PaymentFailed` (also when balance or allowance do not suffice).
    /// Everything is recorded before the token is called, so that a token that calls back finds the batch paid.
    function pay(IERC20 token, bytes16 batch, bytes32[] calldata supersedes, bytes32[] calldata payments)
        external
    {
        if (payments.length == 0) revert NothingToPay();
        if (address(token).code.length == 0) revert TokenHasNoCode(address(token));
        bytes32 id = batchId(token, batch, payments);
        mapping(bytes32 => Status) storage own = _status[msg.sender];
        Status status = own[id];
        if (status == Status.Paid) revert BatchAlreadyPaid(id);
        if (status == Status.Void) revert BatchIsVoid(id);
        for (uint256 i = 0; i < supersedes.length; ++i) {
            bytes32 earlier = supersedes[i];
            if (earlier == id) revert BatchSupersedesItself(id);
            status = own[earlier];
            if (status == Status.Paid) revert SupersededBatchPaid(earlier);
            if (status == Status.New) {
                own[earlier] = Status.Void;
                emit BatchVoided(msg.sender, earlier, id);
            }
        }
        own[id] = Status.Paid;
        emit BatchPaid(msg.sender, id, batch);
        _transferEach(token, payments);
    }

    /// @notice Whether the batch `id` of `payer` is new, paid or void. Never reverts.
    function statusOf(address payer, bytes32 id) external view returns (Status) {
        return _status[payer][id];
    }

    /// @notice The id of a batch on this chain and contract: bound to token, name, recipients, amounts and their
    /// order. Never reverts.
    function batchId(IERC20 token, bytes16 batch, bytes32[] calldata payments) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), token, batch, payments));
    }

    /// @dev One `transferFrom` a payment, written into the same piece of memory each time.
    /// A call counts if it succeeds and returns nothing or true, as SafeERC20 has it.
    function _transferEach(IERC20 token, bytes32[] calldata payments) private {
        bytes4 transferFrom = IERC20.transferFrom.selector;
        for (uint256 i = 0; i < payments.length; ++i) {
            uint256 payment = uint256(payments[i]);
            // The word is exactly the two parts: 160 bits, then 96.
            // forge-lint: disable-next-line(unsafe-typecast)
            address recipient = address(uint160(payment >> 96));
            // forge-lint: disable-next-line(unsafe-typecast)
            uint256 amount = uint96(payment);
            if (
                amount == 0 || recipient == address(0) || recipient == address(token) || recipient == address(this)
            ) {
                revert PaymentRefused(i, recipient, amount);
            }
            bool paid;
            assembly ("memory-safe") {
                // Beyond the free memory pointer, which does not move: nothing else allocates in this loop
                // unless it reverts.
                let call_ := mload(0x40)
                mstore(call_, transferFrom)
                mstore(add(call_, 0x04), caller())
                mstore(add(call_, 0x24), recipient)
                mstore(add(call_, 0x44), amount)
                paid := call(gas(), token, 0, call_, 0x64, 0x00, 0x20)
                paid := and(
                    paid,
                    or(iszero(returndatasize()), and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)))
                )
            }
            if (!paid) revert PaymentFailed(i, recipient, _returned());
        }
    }

    /// @dev What the last call returned, at most 256 bytes of it.
    function _returned() private pure returns (bytes memory reason) {
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, 256) { size := 256 }
            reason := mload(0x40)
            mstore(reason, size)
            returndatacopy(add(reason, 0x20), 0, size)
            mstore(0x40, and(add(add(reason, 0x3f), size), not(0x1f)))
        }
    }
}
