// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {RewardDistributor} from "../src/RewardDistributor.sol";
import {Test} from "./support/Test.sol";
import {
    AnsweringToken,
    BlockingToken,
    GreedyPayerToken,
    PlainToken,
    ReenteringToken,
    ShortAnswerToken,
    ShoutingToken,
    SilentToken
} from "./support/Tokens.sol";

contract RewardDistributorTest is Test {
    address private constant PAYER = address(0xA11CE);
    address private constant ANN = address(0xA);
    address private constant BOB = address(0xB);
    bytes16 private constant FIRST = bytes16("first");
    bytes16 private constant SECOND = bytes16("second");
    bytes16 private constant THIRD = bytes16("third");

    RewardDistributor private distributor;
    PlainToken private token;

    function setUp() external {
        distributor = new RewardDistributor();
        token = new PlainToken();
        fund(token, PAYER);
    }

    function test_pays_each_recipient_from_the_payer() external {
        bytes32[] memory list = ids(word(ANN, 7), word(BOB, 5));
        bytes32 id = distributor.batchId(token, FIRST, list);
        vm.expectEmit(address(distributor));
        emit RewardDistributor.BatchPaid(PAYER, id, FIRST);
        pay(PAYER, FIRST, noIds(), list);
        equal(token.balanceOf(ANN), 7, "Ann");
        equal(token.balanceOf(BOB), 5, "Bob");
        equal(token.balanceOf(PAYER), 1e30 - 12, "payer");
        equal(token.balanceOf(address(distributor)), 0, "distributor");
        isTrue(distributor.statusOf(PAYER, id) == RewardDistributor.Status.Paid, "paid");
    }

    function test_s17_the_id_binds_chain_contract_token_name_and_list() external {
        bytes32[] memory list = ids(word(ANN, 7), word(BOB, 5));
        bytes32 id = distributor.batchId(token, FIRST, list);
        bytes32 wanted = keccak256(abi.encode(block.chainid, address(distributor), token, FIRST, list));
        isTrue(id == wanted, "as documented");
        isTrue(id != distributor.batchId(token, SECOND, list), "name");
        isTrue(id != distributor.batchId(new PlainToken(), FIRST, list), "token");
        isTrue(id != distributor.batchId(token, FIRST, ids(word(BOB, 5), word(ANN, 7))), "order");
        isTrue(id != distributor.batchId(token, FIRST, ids(word(ANN, 7))), "length");
        isTrue(id != new RewardDistributor().batchId(token, FIRST, list), "contract");
        vm.chainId(1868);
        isTrue(id != distributor.batchId(token, FIRST, list), "chain");
    }

    function test_s17_a_batch_is_paid_at_most_once() external {
        bytes32[] memory list = ids(word(ANN, 7));
        pay(PAYER, FIRST, noIds(), list);
        bytes32 id = distributor.batchId(token, FIRST, list);
        vm.expectRevert(abi.encodeWithSelector(RewardDistributor.BatchAlreadyPaid.selector, id));
        pay(PAYER, FIRST, noIds(), list);
        equal(token.balanceOf(ANN), 7, "Ann");
    }

    function test_s17_a_superseded_batch_is_never_paid() external {
        bytes32[] memory list = ids(word(ANN, 7));
        bytes32 first = distributor.batchId(token, FIRST, list);
        bytes32 second = distributor.batchId(token, SECOND, list);
        vm.expectEmit(address(distributor));
        emit RewardDistributor.BatchVoided(PAYER, first, second);
        pay(PAYER, SECOND, ids(first), list);
        isTrue(distributor.statusOf(PAYER, first) == RewardDistributor.Status.Void, "void");
        vm.expectRevert(abi.encodeWithSelector(RewardDistributor.BatchIsVoid.selector, first));
        pay(PAYER, FIRST, noIds(), list);
        equal(token.balanceOf(ANN), 7, "Ann");
    }

    function test_s17_nothing_supersedes_a_paid_batch() external {
        bytes32[] memory list = ids(word(ANN, 7));
        pay(PAYER, FIRST, noIds(), list);
        bytes32 first = distributor.batchId(token, FIRST, list);
        bytes32 third = distributor.batchId(token, THIRD, list);
        vm.expectRevert(abi.encodeWithSelector(RewardDistributor.SupersededBatchPaid.selector, first));
        pay(PAYER, SECOND, ids(third, first), list);
        isTrue(distributor.statusOf(PAYER, third) == RewardDistributor.Status.New, "third is untouched");
        equal(token.balanceOf(ANN), 7, "Ann");
    }

    /// A batch split in two: both halves name the parent.
    function test_s17_a_void_batch_is_superseded_again() external {
        bytes32 parent = distributor.batchId(token, FIRST, ids(word(ANN, 7), word(BOB, 5)));
        pay(PAYER, SECOND, ids(parent), ids(word(ANN, 7)));
        pay(PAYER, THIRD, ids(parent), ids(word(BOB, 5)));
        isTrue(distributor.statusOf(PAYER, parent) == RewardDistributor.Status.Void, "void");
        equal(token.balanceOf(ANN) + token.balanceOf(BOB), 12, "both");
    }

    function test_s17_a_batch_that_supersedes_itself_is_refused() external {
        bytes32[] memory list = ids(word(ANN, 7));
        bytes32 id = distributor.batchId(token, FIRST, list);
        vm.expectRevert(abi.encodeWithSelector(RewardDistributor.BatchSupersedesItself.selector, id));
        pay(PAYER, FIRST, ids(id), list);
    }

    function test_s29_batches_are_kept_for_each_payer() external {
        address other = address(0x0123);
        fund(token, other);
        bytes32[] memory list = ids(word(ANN, 7));
        bytes32 id = distributor.batchId(token, FIRST, list);
        // Another one can neither use up nor void a payer's batch.
        pay(other, SECOND, ids(id), list);
        isTrue(distributor.statusOf(PAYER, id) == RewardDistributor.Status.New, "new for the payer");
        pay(PAYER, FIRST, noIds(), list);
        isTrue(distributor.statusOf(other, id) == RewardDistributor.Status.Void, "void for the other");
        equal(token.balanceOf(ANN), 14, "Ann");
    }

    function test_s29_only_the_callers_tokens_move() external {
        // PAYER's allowance is no consent for a stranger's call.
        vm.expectRevert(
            failure(
                0,
                ANN,
                abi.encodeWithSelector(
                    IERC20Errors.ERC20InsufficientAllowance.selector, address(distributor), 0, 7
                )
            )
        );
        pay(address(0xBAD), FIRST, noIds(), ids(word(ANN, 7)));
    }

    function test_the_failing_recipient_is_named() external {
        BlockingToken blocking = new BlockingToken();
        fund(blocking, PAYER);
        blocking.setBlocked(BOB);
        bytes32[] memory list = ids(word(ANN, 7), word(BOB, 5));
        vm.expectRevert(failure(1, BOB, abi.encodeWithSelector(BlockingToken.Blocked.selector, BOB)));
        vm.prank(PAYER);
        distributor.pay(blocking, FIRST, noIds(), list);
        equal(blocking.balanceOf(ANN), 0, "all or none");
        isTrue(
            distributor.statusOf(PAYER, distributor.batchId(blocking, FIRST, list))
                == RewardDistributor.Status.New,
            "may be tried again"
        );
    }

    function test_an_empty_list_is_refused() external {
        vm.expectRevert(RewardDistributor.NothingToPay.selector);
        pay(PAYER, FIRST, noIds(), noIds());
    }

    function test_an_address_without_code_is_no_token() external {
        vm.expectRevert(abi.encodeWithSelector(RewardDistributor.TokenHasNoCode.selector, BOB));
        vm.prank(PAYER);
        distributor.pay(IERC20(BOB), FIRST, noIds(), ids(word(ANN, 7)));
    }

    function test_no_amount_no_recipient_token_and_distributor_are_refused() external {
        refused(ANN, 0);
        refused(address(0), 7);
        refused(address(token), 7);
        refused(address(distributor), 7);
    }

    function test_a_token_that_answers_nothing_is_paid_in() external {
        SilentToken silent = new SilentToken();
        silent.mint(PAYER, 100);
        vm.prank(PAYER);
        silent.approve(address(distributor), 100);
        vm.prank(PAYER);
        distributor.pay(IERC20(address(silent)), FIRST, noIds(), ids(word(ANN, 7), word(BOB, 5)));
        equal(silent.balanceOf(ANN), 7, "Ann");
        equal(silent.balanceOf(PAYER), 88, "payer");
    }

    function test_an_answer_other_than_true_is_a_failure() external {
        answerFails(abi.encode(false));
        answerFails(abi.encode(2));
        answerFails(hex"01");
        answerFails(new bytes(31));
    }

    /// What the call before left in memory must not complete it.
    function test_a_short_answer_after_a_true_one_is_a_failure() external {
        ShortAnswerToken short = new ShortAnswerToken();
        vm.expectRevert(failure(1, BOB, new bytes(31)));
        vm.prank(PAYER);
        distributor.pay(IERC20(address(short)), FIRST, noIds(), ids(word(ANN, 7), word(BOB, 5)));
    }

    function test_a_longer_answer_that_starts_with_true_is_a_success() external {
        AnsweringToken answering = new AnsweringToken();
        answering.setAnswer(abi.encode(true, 5));
        vm.prank(PAYER);
        distributor.pay(IERC20(address(answering)), FIRST, noIds(), ids(word(ANN, 7)));
    }

    function test_a_long_revert_reason_is_cut() external {
        ShoutingToken shouting = new ShoutingToken();
        vm.prank(PAYER);
        try distributor.pay(IERC20(address(shouting)), FIRST, noIds(), ids(word(ANN, 7))) {
            isTrue(false, "paid");
        } catch (bytes memory thrown) {
            // selector, index, recipient, offset, length, 256 bytes
            equal(thrown.length, 4 + 4 * 32 + 256, "length");
            isTrue(bytes4(thrown) == RewardDistributor.PaymentFailed.selector, "selector");
        }
    }

    function test_a_token_that_calls_back_pays_only_for_itself() external {
        ReenteringToken reentering = new ReenteringToken(distributor);
        fund(reentering, PAYER);
        vm.prank(PAYER);
        distributor.pay(reentering, FIRST, noIds(), ids(word(ANN, 7)));
        equal(reentering.balanceOf(PAYER), 1e30 - 7, "the payer paid once");
        equal(reentering.balanceOf(ANN), 14, "the token paid the rest");
    }

    function test_s17_a_batch_paid_again_from_within_reverts() external {
        GreedyPayerToken greedy = new GreedyPayerToken(distributor);
        bytes32[] memory list = ids(word(ANN, 7));
        bytes32 id = distributor.batchId(greedy, bytes16("greedy"), list);
        vm.expectRevert(failure(0, ANN, abi.encodeWithSelector(RewardDistributor.BatchAlreadyPaid.selector, id)));
        greedy.start(list);
        equal(greedy.balanceOf(ANN), 0, "Ann");
    }

    function testFuzz_the_sum_of_payments_leaves_the_payer(bytes16 batch, bytes32[] memory list) external {
        vm.assume(list.length > 0);
        uint256 total;
        for (uint256 i = 0; i < list.length; ++i) {
            address recipient = address(uint160(uint256(list[i]) >> 96));
            // Amounts that the payer can afford, at least 1, and recipients that are allowed and not the payer.
            uint256 amount = uint256(list[i]) % 1e12 + 1;
            bool barred = recipient == address(0) || recipient == address(token)
                || recipient == address(distributor) || recipient == PAYER;
            list[i] = word(barred ? BOB : recipient, amount);
            total += amount;
        }
        pay(PAYER, batch, noIds(), list);
        equal(token.balanceOf(PAYER), 1e30 - total, "payer");
        equal(token.balanceOf(address(distributor)), 0, "distributor");
    }

    function testFuzz_the_whole_amount_arrives(uint96 amount, address recipient) external {
        vm.assume(amount != 0 && recipient != address(0) && recipient != PAYER);
        vm.assume(recipient != address(token) && recipient != address(distributor));
        pay(PAYER, FIRST, noIds(), ids(word(recipient, amount)));
        equal(token.balanceOf(recipient), amount, "recipient");
    }

    function fund(PlainToken token_, address payer) private {
        token_.mint(payer, 1e30);
        vm.prank(payer);
        token_.approve(address(distributor), type(uint256).max);
    }

    function pay(address payer, bytes16 batch, bytes32[] memory supersedes, bytes32[] memory list) private {
        vm.prank(payer);
        distributor.pay(token, batch, supersedes, list);
    }

    function refused(address recipient, uint96 amount) private {
        vm.expectRevert(abi.encodeWithSelector(RewardDistributor.PaymentRefused.selector, 1, recipient, amount));
        pay(PAYER, FIRST, noIds(), ids(word(ANN, 1), word(recipient, amount)));
    }

    function answerFails(bytes memory answer) private {
        AnsweringToken answering = new AnsweringToken();
        answering.setAnswer(answer);
        vm.expectRevert(failure(0, ANN, answer));
        vm.prank(PAYER);
        distributor.pay(IERC20(address(answering)), FIRST, noIds(), ids(word(ANN, 7)));
    }

    function failure(uint256 index, address recipient, bytes memory reason) private pure returns (bytes memory) {
        return abi.encodeWithSelector(RewardDistributor.PaymentFailed.selector, index, recipient, reason);
    }
}
