// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MerkleDrop} from "../src/MerkleDrop.sol";
import {FeeToken, LyingToken, ReenteringDropToken} from "./support/DropTokens.sol";
import {DropScene} from "./support/DropScene.sol";
import {BlockingToken, PlainToken} from "./support/Tokens.sol";

contract MerkleDropTest is DropScene {
    // ---- publishing ---------------------------------------------------------------------------------------------

    function test_s31_publishing_takes_the_total_and_says_so() external {
        (bytes32 root, uint256 total) = committed();
        vm.expectEmit(address(drop));
        emit MerkleDrop.RootPublished(id, FUNDER, token, 1, root, total, total, OPENS, CLOSES);
        publish(1);
        equal(token.balanceOf(address(drop)), 125, "drop");
        equal(token.balanceOf(FUNDER), 1e30 - 125, "funder");
        MerkleDrop.Season memory season = drop.seasonOf(id);
        isTrue(season.funder == FUNDER && address(season.token) == address(token) && season.root == root, "season");
        isTrue(season.opens == OPENS && season.closes == CLOSES && !season.closed && season.number == 1, "window");
        equal(season.total, 125, "total");
        equal(season.paid, 0, "paid");
    }

    function test_s31_a_season_is_funded_before_it_can_be_claimed_from() external {
        vm.prank(FUNDER);
        token.approve(address(drop), 124);
        (bytes32 root, uint256 total) = committed();
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        publishAs(FUNDER, 1, root, total, OPENS, CLOSES);
        vm.warp(OPENS);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonUnknown.selector, id));
        drop.claim(id, ANN, 70, new bytes32[](0));
    }

    function test_s17_a_root_sent_twice_is_published_once() external {
        publish(1);
        (bytes32 root, uint256 total) = committed();
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.NotTheNextRoot.selector, id, 1, 2));
        publishAs(FUNDER, 1, root, total, OPENS, CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.NotTheNextRoot.selector, id, 3, 2));
        publishAs(FUNDER, 3, root, total, OPENS, CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.NotTheNextRoot.selector, id, 0, 2));
        publishAs(FUNDER, 0, root, total, OPENS, CLOSES);
        equal(token.balanceOf(address(drop)), 125, "drop");
    }

    function test_s28_a_season_is_its_funders_alone() external {
        publish(1);
        fund(token, STRANGER);
        (bytes32 root,) = committed();
        publishAs(STRANGER, 1, root, 200, OPENS, CLOSES);
        isTrue(drop.seasonOf(id).funder == FUNDER, "the funder's");
        equal(drop.seasonOf(id).total, 125, "the funder's total");
        bytes32 other = drop.seasonId(STRANGER, token, NAME);
        isTrue(other != id && drop.seasonOf(other).funder == STRANGER, "the stranger's own");
        equal(token.balanceOf(STRANGER), 1e30 - 200, "the stranger paid");
    }

    function test_s28_an_allowance_is_no_consent() external {
        // Somebody else publishes: what the funder approved stays where it is.
        (bytes32 root, uint256 total) = committed();
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        publishAs(STRANGER, 1, root, total, OPENS, CLOSES);
        equal(token.balanceOf(FUNDER), 1e30, "funder");
    }

    function test_what_makes_no_sense_is_not_published() external {
        (bytes32 root, uint256 total) = committed();
        vm.expectRevert(MerkleDrop.RootRefused.selector);
        publishAs(FUNDER, 1, bytes32(0), total, OPENS, CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TotalRefused.selector, 0, 0));
        publishAs(FUNDER, 1, root, 0, OPENS, CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.WindowRefused.selector, OPENS, OPENS));
        publishAs(FUNDER, 1, root, total, OPENS, OPENS);
        vm.warp(CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.WindowRefused.selector, OPENS, CLOSES));
        publishAs(FUNDER, 1, root, total, OPENS, CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TokenHasNoCode.selector, ANN));
        vm.prank(FUNDER);
        drop.publish(IERC20(ANN), NAME, 1, root, total, OPENS, CLOSES + 1);
    }

    function test_s31_a_token_that_takes_a_fee_is_refused() external {
        FeeToken fee = new FeeToken();
        useToken(fee);
        fee.setFee(1, false);
        (bytes32 root, uint256 total) = committed();
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TokenMovedOtherwise.selector, fee, 125, 124));
        publishAs(FUNDER, 1, root, total, OPENS, CLOSES);
        LyingToken lying = new LyingToken();
        useToken(lying);
        lying.setLies(true);
        (root, total) = committed();
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TokenMovedOtherwise.selector, lying, 125, 0));
        publishAs(FUNDER, 1, root, total, OPENS, CLOSES);
    }

    // ---- claiming -----------------------------------------------------------------------------------------------

    function test_s31_anyone_may_submit_and_only_the_leafs_account_is_paid() external {
        publish(1);
        vm.warp(OPENS);
        vm.expectEmit(address(drop));
        emit MerkleDrop.Claimed(id, ANN, 70, 70);
        claimAs(STRANGER, 0);
        equal(token.balanceOf(ANN), 70, "Ann");
        equal(token.balanceOf(STRANGER), 0, "stranger");
        equal(drop.claimedOf(id, ANN), 70, "claimed");
        equal(drop.seasonOf(id).paid, 70, "paid");
    }

    function test_s31_a_leaf_pays_once() external {
        publish(1);
        vm.warp(OPENS);
        claimAs(ANN, 0);
        bytes32[] memory proof = proofOf(0);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.NothingToClaim.selector, id, ANN, 70));
        drop.claim(id, ANN, 70, proof);
    }

    function test_s31_a_proof_is_of_its_account_amount_and_season_alone() external {
        publish(1);
        vm.warp(OPENS);
        bytes32[] memory proof = proofOf(0);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.ProofRefused.selector, id, EVE, 70));
        drop.claim(id, EVE, 70, proof);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.ProofRefused.selector, id, ANN, 71));
        drop.claim(id, ANN, 71, proof);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonUnknown.selector, bytes32("other")));
        drop.claim(bytes32("other"), ANN, 70, proof);
    }

    function test_s31_the_leaf_binds_chain_contract_token_account_and_amount() external {
        bytes32 leaf = drop.leafOf(token, ANN, 70);
        bytes32 wanted = keccak256(
            bytes.concat(keccak256(abi.encode(block.chainid, address(drop), address(token), ANN, uint256(70))))
        );
        isTrue(leaf == wanted, "as documented");
        isTrue(leaf != drop.leafOf(token, BOB, 70), "account");
        isTrue(leaf != drop.leafOf(token, ANN, 71), "amount");
        isTrue(leaf != drop.leafOf(new PlainToken(), ANN, 70), "token");
        isTrue(leaf != new MerkleDrop().leafOf(token, ANN, 70), "contract");
        bytes32 season = drop.seasonId(FUNDER, token, NAME);
        isTrue(season != new MerkleDrop().seasonId(FUNDER, token, NAME), "the season's contract");
        vm.chainId(1868);
        isTrue(leaf != drop.leafOf(token, ANN, 70), "chain");
        isTrue(season != drop.seasonId(FUNDER, token, NAME), "the season's chain");
    }

    function test_s31_nothing_is_paid_before_the_window_nor_after_it() external {
        publish(1);
        bytes32[] memory proof = proofOf(0);
        vm.warp(OPENS - 1);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonNotOpen.selector, id, OPENS));
        drop.claim(id, ANN, 70, proof);
        vm.warp(CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonOver.selector, id, CLOSES));
        drop.claim(id, ANN, 70, proof);
        vm.warp(CLOSES - 1);
        drop.claim(id, ANN, 70, proof);
        equal(token.balanceOf(ANN), 70, "the last second");
    }

    function test_s31_a_root_that_says_more_than_its_total_pays_no_more_than_that() external {
        PlainToken plain = token;
        publish(1);
        // Another season of the same token lies in the same contract.
        fund(plain, STRANGER);
        (bytes32 root,) = committed();
        publishAs(STRANGER, 1, root, 100, OPENS, CLOSES);
        vm.warp(OPENS);
        bytes32 other = drop.seasonId(STRANGER, plain, NAME);
        drop.claim(other, ANN, 70, proofOf(0));
        bytes32[] memory proof = proofOf(1);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.SeasonExhausted.selector, other, 30));
        drop.claim(other, BOB, 50, proof);
        claimAs(BOB, 1);
        claimAs(ANN, 0);
        claimAs(EVE, 2);
        equal(token.balanceOf(address(drop)), 30, "the other season's rest");
    }

    function test_one_refused_account_stops_no_other() external {
        BlockingToken blocking = new BlockingToken();
        useToken(blocking);
        publish(1);
        vm.warp(OPENS);
        blocking.setBlocked(ANN);
        bytes32[] memory proof = proofOf(0);
        vm.expectRevert(abi.encodeWithSelector(BlockingToken.Blocked.selector, ANN));
        drop.claim(id, ANN, 70, proof);
        claimAs(BOB, 1);
        equal(blocking.balanceOf(BOB), 50, "Bob");
    }

    function test_s31_a_fee_that_is_turned_on_later_takes_nothing_from_others() external {
        FeeToken fee = new FeeToken();
        useToken(fee);
        publish(1);
        vm.warp(OPENS);
        fee.setFee(1, true);
        // What another season left here.
        fee.mint(address(drop), 10);
        bytes32[] memory proof = proofOf(0);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TokenMovedOtherwise.selector, fee, 70, 71));
        drop.claim(id, ANN, 70, proof);
        vm.warp(CLOSES);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TokenMovedOtherwise.selector, fee, 125, 126));
        drop.close(id);
    }

    function test_the_drop_itself_can_not_be_paid() external {
        say(address(drop), 9);
        publish(1);
        vm.warp(OPENS);
        bytes32[] memory proof = proofOf(3);
        vm.expectRevert(abi.encodeWithSelector(MerkleDrop.TokenMovedOtherwise.selector, token, 9, 0));
        drop.claim(id, address(drop), 9, proof);
    }

    function test_s31_a_token_that_calls_back_gets_nowhere() external {
        ReenteringDropToken calling = new ReenteringDropToken(drop);
        useToken(calling);
        calling.setCall(abi.encodeCall(drop.close, (id)));
        (bytes32 root, uint256 total) = committed();
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        publishAs(FUNDER, 1, root, total, OPENS, CLOSES);
        calling.setCall("");
        publish(1);
        vm.warp(OPENS);
        bytes32[] memory proof = proofOf(0);
        calling.setCall(abi.encodeCall(drop.claim, (id, ANN, 70, proof)));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        drop.claim(id, ANN, 70, proof);
        vm.warp(CLOSES);
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        drop.close(id);
        equal(calling.balanceOf(address(drop)), 125, "drop");
    }
}
