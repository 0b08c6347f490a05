// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleDrop} from "../../src/MerkleDrop.sol";
import {Merkle} from "./Merkle.sol";
import {Test} from "./Test.sol";
import {PlainToken} from "./Tokens.sol";

/// @dev A season of three accounts that its funder has approved, and short words for what is done to it.
abstract contract DropScene is Test {
    address internal constant FUNDER = address(0xF00D);
    address internal constant STRANGER = address(0x5742);
    address internal constant ANN = address(0xA);
    address internal constant BOB = address(0xB);
    address internal constant EVE = address(0xE);
    bytes16 internal constant NAME = bytes16("season");
    uint64 internal constant OPENS = 20_000 days;
    uint64 internal constant CLOSES = 20_030 days;

    MerkleDrop internal drop;
    PlainToken internal token;
    bytes32 internal id;
    address[] internal accounts;
    uint256[] internal amounts;

    function setUp() external {
        vm.warp(OPENS - 1 days);
        drop = new MerkleDrop();
        useToken(new PlainToken());
        say(ANN, 70);
        say(BOB, 50);
        say(EVE, 5);
    }

    function useToken(PlainToken token_) internal {
        token = token_;
        fund(token, FUNDER);
        id = drop.seasonId(FUNDER, token, NAME);
    }

    function fund(PlainToken token_, address funder) internal {
        token_.mint(funder, 1e30);
        vm.prank(funder);
        token_.approve(address(drop), type(uint256).max);
    }

    function say(address account, uint256 amount) internal {
        accounts.push(account);
        amounts.push(amount);
    }

    function leaves() internal view returns (bytes32[] memory found) {
        found = new bytes32[](accounts.length);
        for (uint256 i = 0; i < found.length; ++i) {
            found[i] = drop.leafOf(token, accounts[i], amounts[i]);
        }
    }

    function committed() internal view returns (bytes32 root, uint256 total) {
        root = Merkle.tree(leaves())[0];
        for (uint256 i = 0; i < amounts.length; ++i) {
            total += amounts[i];
        }
    }

    function proofOf(uint256 index) internal view returns (bytes32[] memory) {
        return Merkle.proof(Merkle.tree(leaves()), index);
    }

    function publish(uint32 number) internal {
        (bytes32 root, uint256 total) = committed();
        publishAs(FUNDER, number, root, total, OPENS, CLOSES);
    }

    function publishAs(address from, uint32 number, bytes32 root, uint256 total, uint64 opens, uint64 closes)
        internal
    {
        vm.prank(from);
        drop.publish(token, NAME, number, root, total, opens, closes);
    }

    function claimAs(address from, uint256 index) internal {
        bytes32[] memory proof = proofOf(index);
        vm.prank(from);
        drop.claim(id, accounts[index], amounts[index], proof);
    }
}
