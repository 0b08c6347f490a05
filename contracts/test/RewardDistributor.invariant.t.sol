// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RewardDistributor} from "../src/RewardDistributor.sol";
import {Test} from "./support/Test.sol";
import {PlainToken} from "./support/Tokens.sol";

/// @dev Sends batches from a small world, so that repeats and replacements are frequent, and predicts each outcome
/// from a model of its own: a wrong prediction reverts, which fails the run.
contract DistributorHandler is Test {
    uint256 public constant PAYERS = 2;
    uint256 public constant BATCHES = 5;
    uint256 public constant LISTS = 3;
    uint256 public constant FUNDS = 1e30;

    RewardDistributor public immutable DISTRIBUTOR = new RewardDistributor();
    PlainToken[2] public tokens;

    mapping(address payer => mapping(bytes32 id => RewardDistributor.Status)) public modelStatus;
    mapping(address payer => mapping(bytes32 id => uint256)) public timesPaid;
    mapping(address payer => mapping(uint256 tokenIndex => uint256)) public paidOut;
    mapping(uint256 tokenIndex => mapping(address recipient => uint256)) public received;
    uint256 public payments;
    uint256 public refusals;

    constructor() {
        for (uint256 t = 0; t < tokens.length; ++t) {
            tokens[t] = new PlainToken();
            for (uint256 p = 0; p < PAYERS; ++p) {
                tokens[t].mint(payer(p), FUNDS);
                vm.prank(payer(p));
                tokens[t].approve(address(DISTRIBUTOR), type(uint256).max);
            }
        }
    }

    function payer(uint256 index) public pure returns (address) {
        return address(uint160(0x1000 + index % PAYERS));
    }

    function recipient(uint256 index) public pure returns (address) {
        return address(uint160(0x2000 + index % 4));
    }

    function list(uint256 index) public pure returns (bytes32[] memory words) {
        index %= LISTS;
        words = new bytes32[](index + 1);
        for (uint256 i = 0; i <= index; ++i) {
            words[i] = word(recipient(index + i), 10 * index + i + 1);
        }
    }

    function id(uint256 seed) public view returns (bytes32) {
        (uint256 tokenIndex, bytes16 batch, uint256 listIndex) = pick(seed);
        return DISTRIBUTOR.batchId(tokens[tokenIndex], batch, list(listIndex));
    }

    function worldSize() public pure returns (uint256) {
        return 2 * BATCHES * LISTS;
    }

    function pay(uint256 payerSeed, uint256 seed, uint256[3] calldata supersededSeeds, uint256 count) external {
        address from = payer(payerSeed);
        (uint256 tokenIndex, bytes16 batch, uint256 listIndex) = pick(seed);
        bytes32 own = id(seed);
        bytes32[] memory supersedes = new bytes32[](count % 4);
        for (uint256 i = 0; i < supersedes.length; ++i) {
            supersedes[i] = id(supersededSeeds[i]);
        }

        bytes4 wanted = refusal(from, own, supersedes);
        vm.prank(from);
        try DISTRIBUTOR.pay(tokens[tokenIndex], batch, supersedes, list(listIndex)) {
            isTrue(wanted == bytes4(0), "the model refuses");
            record(from, own, supersedes, tokenIndex, list(listIndex));
        } catch (bytes memory thrown) {
            isTrue(bytes4(thrown) == wanted, "the model refuses otherwise");
            ++refusals;
        }
    }

    function pick(uint256 seed) private pure returns (uint256 tokenIndex, bytes16 batch, uint256 listIndex) {
        seed %= worldSize();
        tokenIndex = seed % 2;
        batch = bytes16(uint128(seed / 2 % BATCHES));
        listIndex = seed / 2 / BATCHES;
    }

    /// @dev Which error comes first, by the words of the rule; 0 if the batch may be paid.
    function refusal(address from, bytes32 own, bytes32[] memory supersedes) private view returns (bytes4) {
        if (modelStatus[from][own] == RewardDistributor.Status.Paid) {
            return RewardDistributor.BatchAlreadyPaid.selector;
        }
        if (modelStatus[from][own] == RewardDistributor.Status.Void) {
            return RewardDistributor.BatchIsVoid.selector;
        }
        for (uint256 i = 0; i < supersedes.length; ++i) {
            if (supersedes[i] == own) return RewardDistributor.BatchSupersedesItself.selector;
            if (modelStatus[from][supersedes[i]] == RewardDistributor.Status.Paid) {
                return RewardDistributor.SupersededBatchPaid.selector;
            }
        }
        return bytes4(0);
    }

    function record(
        address from,
        bytes32 own,
        bytes32[] memory supersedes,
        uint256 tokenIndex,
        bytes32[] memory words
    ) private {
        modelStatus[from][own] = RewardDistributor.Status.Paid;
        for (uint256 i = 0; i < supersedes.length; ++i) {
            modelStatus[from][supersedes[i]] = RewardDistributor.Status.Void;
        }
        ++timesPaid[from][own];
        ++payments;
        for (uint256 i = 0; i < words.length; ++i) {
            uint256 amount = uint96(uint256(words[i]));
            paidOut[from][tokenIndex] += amount;
            received[tokenIndex][address(uint160(uint256(words[i]) >> 96))] += amount;
        }
    }
}

contract RewardDistributorInvariantTest is Test {
    DistributorHandler private handler;

    function setUp() external {
        handler = new DistributorHandler();
        target(address(handler));
    }

    function invariant_s17_a_batch_is_paid_at_most_once_and_has_the_models_status() external view {
        for (uint256 p = 0; p < handler.PAYERS(); ++p) {
            address payer = handler.payer(p);
            for (uint256 seed = 0; seed < handler.worldSize(); ++seed) {
                bytes32 id = handler.id(seed);
                isTrue(handler.timesPaid(payer, id) <= 1, "paid twice");
                isTrue(handler.DISTRIBUTOR().statusOf(payer, id) == handler.modelStatus(payer, id), "status");
            }
        }
    }

    function invariant_s29_what_payers_lost_is_what_recipients_got_and_nothing_rests() external view {
        for (uint256 t = 0; t < 2; ++t) {
            PlainToken token = handler.tokens(t);
            equal(token.balanceOf(address(handler.DISTRIBUTOR())), 0, "distributor");
            for (uint256 p = 0; p < handler.PAYERS(); ++p) {
                address payer = handler.payer(p);
                equal(token.balanceOf(payer), handler.FUNDS() - handler.paidOut(payer, t), "payer");
            }
            for (uint256 r = 0; r < 4; ++r) {
                address recipient = handler.recipient(r);
                equal(token.balanceOf(recipient), handler.received(t, recipient), "recipient");
            }
        }
    }

    /// @dev The runs must reach both outcomes, else the invariants above say little.
    function afterInvariant() external view {
        isTrue(handler.payments() > 0, "nothing was paid");
    }
}
