// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {TestUSDC} from "../src/TestUSDC.sol";
import {Test} from "./support/Test.sol";

contract TestUSDCTest is Test {
    TestUSDC private token;

    function setUp() external {
        token = new TestUSDC("USD Coin", "USDC", 6);
    }

    function test_it_looks_like_the_stablecoin_that_facilitators_know() external view {
        equal(token.decimals(), 6, "decimals");
        require(keccak256(bytes(token.version())) == keccak256("2"), "version");
    }

    function test_anyone_mints() external {
        token.mint(address(0xA), 5);
        equal(token.balanceOf(address(0xA)), 5, "balance");
    }

    function test_a_signature_of_somebody_else_moves_nothing() external {
        token.mint(address(0xA), 5);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        token.transferWithAuthorization(
            address(0xA), address(0xB), 5, 0, type(uint48).max, bytes32(0), new bytes(65)
        );
    }

    function test_several_calls_fit_in_one_transaction() external {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(token.mint, (address(0xA), 1));
        calls[1] = abi.encodeCall(token.mint, (address(0xB), 2));
        token.multicall(calls);
        equal(token.totalSupply(), 3, "supply");
    }
}
