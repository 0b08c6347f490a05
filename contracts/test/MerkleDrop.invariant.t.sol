// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleDrop} from "../src/MerkleDrop.sol";
import {Merkle} from "./support/Merkle.sol";
import {Test} from "./support/Test.sol";
import {PlainToken} from "./support/Tokens.sol";

/// @dev Publishes, claims, closes and lets time pass over a few seasons of one token, and predicts each outcome from a
/// model of its own: a wrong prediction reverts, which fails the run.
contract DropHandler is Test {
    uint256 public constant FUNDERS = 2;
    uint256 public constant NAMES = 2;
    uint256 public constant ACCOUNTS = 3;
    uint256 public constant FUNDS = 1e30;

    struct Model {
        uint32 number;
        uint64 opens;
        uint64 closes;
        bool closed;
        uint256 total;
        uint256 paid;
        uint256[3] leaves;
        uint256[3] claimed;
    }

    MerkleDrop public immutable DROP = new MerkleDrop();
    PlainToken public immutable TOKEN = new PlainToken();
    uint256 public claims;
    uint256 public refusals;
    uint256 public supersessions;

    uint256 private _time = 20_000 days;
    Model[4] private _models;

    constructor() {
        vm.warp(_time);
        for (uint256 f = 0; f < FUNDERS; ++f) {
            TOKEN.mint(funder(f), FUNDS);
            vm.prank(funder(f));
            TOKEN.approve(address(DROP), type(uint256).max);
        }
    }

    function funder(uint256 index) public pure returns (address) {
        return address(uint160(0x1000 + index % FUNDERS));
    }

    function account(uint256 index) public pure returns (address) {
        return address(uint160(0x2000 + index % ACCOUNTS));
    }

    function model(uint256 season) external view returns (Model memory) {
        return _models[season];
    }

    function id(uint256 season) public view returns (bytes32) {
        return DROP.seasonId(funder(season / NAMES), TOKEN, bytes16(uint128(season % NAMES)));
    }

    function wait(uint256 seconds_) external {
        _time += seconds_ % 8 hours;
        vm.warp(_time);
    }

    /// @dev `grow` may also shrink one leaf while the total stays: a bad root, which must harm nobody.
    function publish(uint256 season, uint256[3] calldata grow, uint32 skip, uint64 length, bool shrinks) external {
        season %= 4;
        Model storage m = _models[season];
        uint256[3] memory next = m.leaves;
        uint256 total = m.total;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            uint256 more = grow[i] % 100;
            next[i] += more;
            total += more;
        }
        if (shrinks) next[0] /= 2;
        uint32 number = m.number + 1 + (skip % 8 == 0 ? 1 : 0);
        uint64 opens = m.number == 0 ? uint64(_time) : m.opens;
        uint64 closes = uint64(_time) + length % 4 days;
        bytes4 wanted = whyNotPublished(m, number, opens, closes, total);
        bytes32 root = Merkle.tree(hashes(next))[0];
        vm.prank(funder(season / NAMES));
        try DROP.publish(TOKEN, bytes16(uint128(season % NAMES)), number, root, total, opens, closes) {
            isTrue(wanted == bytes4(0), "the model refuses");
            if (m.number > 0) ++supersessions;
            (m.number, m.opens, m.closes, m.total, m.leaves) = (number, opens, closes, total, next);
        } catch (bytes memory thrown) {
            isTrue(bytes4(thrown) == wanted, "the model refuses otherwise");
            ++refusals;
        }
    }

    function claim(uint256 season, uint256 index) external {
        season %= 4;
        index %= ACCOUNTS;
        Model storage m = _models[season];
        uint256 cumulative = m.leaves[index];
        bytes4 wanted = whyNotPaid(m, index);
        bytes32[] memory proof = Merkle.proof(Merkle.tree(hashes(m.leaves)), index);
        try DROP.claim(id(season), account(index), cumulative, proof) {
            isTrue(wanted == bytes4(0), "the model refuses");
            m.paid += cumulative - m.claimed[index];
            m.claimed[index] = cumulative;
            ++claims;
        } catch (bytes memory thrown) {
            isTrue(bytes4(thrown) == wanted, "the model refuses otherwise");
            ++refusals;
        }
    }

    function close(uint256 season) external {
        season %= 4;
        Model storage m = _models[season];
        bytes4 wanted;
        if (m.number == 0) wanted = MerkleDrop.SeasonUnknown.selector;
        else if (m.closed) wanted = MerkleDrop.SeasonIsClosed.selector;
        else if (_time < m.closes) wanted = MerkleDrop.SeasonStillOpen.selector;
        try DROP.close(id(season)) {
            isTrue(wanted == bytes4(0), "the model refuses");
            m.closed = true;
        } catch (bytes memory thrown) {
            isTrue(bytes4(thrown) == wanted, "the model refuses otherwise");
        }
    }

    function whyNotPublished(Model storage m, uint32 number, uint64 opens, uint64 closes, uint256 total)
        private
        view
        returns (bytes4)
    {
        if (number != m.number + 1) return MerkleDrop.NotTheNextRoot.selector;
        if (closes <= opens || closes <= _time) return MerkleDrop.WindowRefused.selector;
        if (m.number > 0) {
            if (m.closed) return MerkleDrop.SeasonIsClosed.selector;
            if (_time >= m.closes) return MerkleDrop.SeasonOver.selector;
            if (closes < m.closes) return MerkleDrop.WindowRefused.selector;
        }
        return total == 0 ? MerkleDrop.TotalRefused.selector : bytes4(0);
    }

    function whyNotPaid(Model storage m, uint256 index) private view returns (bytes4) {
        if (m.number == 0) return MerkleDrop.SeasonUnknown.selector;
        if (m.closed) return MerkleDrop.SeasonIsClosed.selector;
        if (_time >= m.closes) return MerkleDrop.SeasonOver.selector;
        if (m.leaves[index] <= m.claimed[index]) return MerkleDrop.NothingToClaim.selector;
        return bytes4(0);
    }

    function hashes(uint256[3] memory leaves) private view returns (bytes32[] memory found) {
        found = new bytes32[](ACCOUNTS);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            found[i] = DROP.leafOf(TOKEN, account(i), leaves[i]);
        }
    }
}

contract MerkleDropInvariantTest is Test {
    DropHandler private handler;

    function setUp() external {
        handler = new DropHandler();
        target(address(handler));
    }

    function invariant_s31_the_drop_holds_what_its_open_seasons_have_left() external view {
        uint256 left;
        for (uint256 s = 0; s < 4; ++s) {
            DropHandler.Model memory m = handler.model(s);
            if (!m.closed) left += m.total - m.paid;
        }
        equal(handler.TOKEN().balanceOf(address(handler.DROP())), left, "drop");
    }

    function invariant_s31_accounts_have_what_was_claimed_and_funders_lost_no_more() external view {
        uint256[3] memory received;
        for (uint256 s = 0; s < 4; ++s) {
            DropHandler.Model memory m = handler.model(s);
            for (uint256 a = 0; a < 3; ++a) {
                received[a] += m.claimed[a];
                equal(handler.DROP().claimedOf(handler.id(s), handler.account(a)), m.claimed[a], "claimed");
            }
            MerkleDrop.Season memory season = handler.DROP().seasonOf(handler.id(s));
            equal(season.paid, m.paid, "paid");
            equal(season.total, m.total, "total");
            equal(season.number, m.number, "number");
            isTrue(season.paid <= season.total && season.closed == m.closed, "season");
        }
        for (uint256 a = 0; a < 3; ++a) {
            equal(handler.TOKEN().balanceOf(handler.account(a)), received[a], "account");
        }
        for (uint256 f = 0; f < 2; ++f) {
            uint256 spent;
            for (uint256 n = 0; n < 2; ++n) {
                DropHandler.Model memory m = handler.model(f * 2 + n);
                spent += m.closed ? m.paid : m.total;
            }
            equal(handler.TOKEN().balanceOf(handler.funder(f)), handler.FUNDS() - spent, "funder");
        }
    }

    /// @dev A run in which nothing was tried says nothing.
    function afterInvariant() external view {
        isTrue(handler.claims() + handler.refusals() > 0, "nothing happened");
    }
}
