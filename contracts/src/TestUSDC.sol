// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Dollars for local networks: a stablecoin that pays by signed authorizations, worth nothing.
/// @notice ERC-20 with EIP-3009 as payment facilitators use it. Anyone mints; several calls fit in one transaction.
contract TestUSDC is ERC20, ERC3009, Multicall {
    uint8 private immutable _decimals;

    /// @param name_ Name shown by wallets; also the name in the authorizations' signing domain.
    /// @param symbol_ Symbol shown by wallets.
    /// @param decimals_ How many decimals wallets show; never changes.
    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        ERC20(name_, symbol_)
        EIP712(name_, "2")
    {
        _decimals = decimals_;
    }

    /// @notice How many decimals wallets show, as given at deployment. Never reverts.
    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @notice Version of the authorizations' signing domain. Never reverts.
    function version() external pure returns (string memory) {
        return "2";
    }

    /// @notice Creates `amount` of the smallest unit for `to`. For anyone.
    /// @dev Reverts `ERC20InvalidReceiver` for the zero address.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice Moves `value` from the signer `from`, once for a nonce, between the two times. For anyone who has the
    /// signature; contracts sign by EIP-1271.
    /// @dev Reverts `ERC3009InvalidSignature`, `ERC3009InvalidAuthorizationTime`, `ERC3009UsedAuthorization`,
    /// `ERC20InsufficientBalance`.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external {
        bytes32 hash = _hashTypedDataV4(
            keccak256(
                abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
            )
        );
        require(SignatureChecker.isValidSignatureNow(from, hash, signature), ERC3009InvalidSignature());
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }
}
