// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleDrop} from "../src/MerkleDrop.sol";
import {DropScene} from "./support/DropScene.sol";

contract MerkleDropLaterTest is DropScene {
    // ---- a later root -------------------------------------------------------------------------------------------

    function test_s31_a_later_root_supersedes_the_earlier_and_pays_only_the_difference() external {
        publish(1);
        vm.warp(OPENS);
        claimAs(ANN, 0);
        bytes32[] memory earlier = proofOf(1);
        amounts[0] = 100;
        amounts[1] = 60;
        publish(2);
        equal(token.balanceOf(address(drop)), 165 - 70, "only the difference is taken");
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.ProofRefused.selector, id, BOB, 50));
        drop.claim(id, BOB, 50, earlier);
        vm.expectEmit(address(drop));
        emit MerkleDrop.Claimed(id, ANN, 100, 30);
        claimAs(STRANGER, 0);
        claimAs(STRANGER, 1);
        equal(token.balanceOf(ANN), 100, "Ann");
        equal(token.balanceOf(BOB), 60, "Bob");
    }

    function test_s31_what_was_promised_never_falls() external {
        publish(1);
        (bytes32 root,) = committed();
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TotalRefused.selector, 124, 125));
        publishAs(FUNDER, 2, root, 124, OPENS, CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.WindowRefused.selector, OPENS + 1, CLOSES));
        publishAs(FUNDER, 2, root, 125, OPENS + 1, CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.WindowRefused.selector, OPENS, CLOSES - 1));
        publishAs(FUNDER, 2, root, 125, OPENS, CLOSES - 1);
        publishAs(FUNDER, 2, root, 125, OPENS - 1, CLOSES + 1);
        equal(drop.seasonOf(id).number, 2, "published");
    }

    function test_s31_a_lower_leaf_in_a_later_root_pays_nothing_and_takes_nothing_back() external {
        publish(1);
        vm.warp(OPENS);
        claimAs(ANN, 0);
        amounts[0] = 60;
        (bytes32 root,) = committed();
        publishAs(FUNDER, 2, root, 125, OPENS, CLOSES);
        bytes32[] memory proof = proofOf(0);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.NothingToClaim.selector, id, ANN, 70));
        drop.claim(id, ANN, 60, proof);
        equal(token.balanceOf(ANN), 70, "Ann");
    }

    function test_s31_a_season_that_is_over_takes_no_further_root() external {
        publish(1);
        (bytes32 root, uint256 total) = committed();
        vm.warp(CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonOver.selector, id, CLOSES));
        publishAs(FUNDER, 2, root, total, OPENS, CLOSES + 9);
        drop.close(id);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonIsClosed.selector, id));
        publishAs(FUNDER, 2, root, total, OPENS, CLOSES + 9);
    }

    // ---- closing ------------------------------------------------------------------------------------------------

    function test_s31_after_the_window_anyone_closes_and_the_funder_gets_the_rest() external {
        publish(1);
        vm.warp(OPENS);
        claimAs(BOB, 1);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonStillOpen.selector, id, CLOSES));
        drop.close(id);
        vm.warp(CLOSES);
        vm.expectEmit(address(drop));
        emit MerkleDrop.SeasonClosed(id, 75);
        vm.prank(STRANGER);
        drop.close(id);
        equal(token.balanceOf(FUNDER), 1e30 - 50, "funder");
        equal(token.balanceOf(STRANGER), 0, "stranger");
        isTrue(drop.seasonOf(id).closed, "closed");
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonIsClosed.selector, id));
        drop.close(id);
        bytes32[] memory proof = proofOf(0);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonIsClosed.selector, id));
        drop.claim(id, ANN, 70, proof);
    }

    function test_a_season_that_was_taken_whole_closes_without_a_transfer() external {
        publish(1);
        vm.warp(OPENS);
        for (uint256 i = 0; i < accounts.length; ++i) {
            claimAs(STRANGER, i);
        }
        vm.warp(CLOSES);
        drop.close(id);
        equal(token.balanceOf(FUNDER), 1e30 - 125, "funder");
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonUnknown.selector, bytes32("other")));
        drop.close(bytes32("other"));
    }

    // ---- fuzz ---------------------------------------------------------------------------------------------------

    function testFuzz_s31_every_leaf_of_any_tree_is_paid_and_nothing_rests(uint96[] memory said) external {
        vm.assume(said.length > 0);
        uint256 count = said.length > 24 ? 24 : said.length;
        delete accounts;
        delete amounts;
        for (uint256 i = 0; i < count; ++i) {
            say(address(uint160(0x1000 + i)), uint256(said[i]) + 1);
        }
        token.mint(FUNDER, 1e33);
        publish(1);
        vm.warp(OPENS);
        for (uint256 i = 0; i < count; ++i) {
            claimAs(STRANGER, i);
            equal(token.balanceOf(accounts[i]), amounts[i], "account");
        }
        equal(token.balanceOf(address(drop)), 0, "drop");
    }

    function testFuzz_s31_nothing_but_the_leaf_is_proven(
        address account,
        uint256 cumulative,
        bytes32[] memory proof
    ) external {
        vm.assume(account != ANN && account != BOB && account != EVE);
        publish(1);
        vm.warp(OPENS);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.ProofRefused.selector, id, account, cumulative));
        drop.claim(id, account, cumulative, proof);
        proof = proofOf(0);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.ProofRefused.selector, id, account, cumulative));
        drop.claim(id, account, cumulative, proof);
    }
}
