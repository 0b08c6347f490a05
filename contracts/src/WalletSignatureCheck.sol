// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @title Does a wallet that is not deployed yet accept a signature (ERC-6492)?
/// @notice Never deployed: its creation code is run in an `eth_call`, whose effects are thrown away, and answers with one
/// byte, 1 or 0, where a contract's code would stand. The wallet is made by its own factory first, within that call, and then
/// asked as ERC-1271 has it. A wallet that is there already is asked as it is: its factory is not called.
contract WalletSignatureCheck {
    /// @param wallet the address that is said to have signed
    /// @param hash what was signed
    /// @param factory what makes the wallet, and nothing but that: a wallet it does not make at this address is no wallet
    /// @param factoryCall the factory's call data
    /// @param signature for the wallet to judge
    constructor(address wallet, bytes32 hash, address factory, bytes memory factoryCall, bytes memory signature) {
        bool accepted;
        if (wallet.code.length == 0) {
            (accepted,) = factory.call(factoryCall);
        }
        accepted = false;
        if (wallet.code.length != 0) {
            (bool answered, bytes memory answer) =
                wallet.staticcall(abi.encodeCall(IERC1271.isValidSignature, (hash, signature)));
            accepted = answered && answer.length == 32
                && abi.decode(answer, (bytes32)) == bytes32(IERC1271.isValidSignature.selector);
        }
        assembly ("memory-safe") {
            mstore(0, accepted)
            return(31, 1)
        }
    }
}
