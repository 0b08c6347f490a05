// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title Seasons of rewards for very many accounts: a funder publishes a root, accounts are paid by proof.
/// @notice A season is of one funder and one token, and open from `opens` until `closes`. Its leaves say what each
/// account may have received in all (cumulative), so that a later root of the same season supersedes an earlier one
/// and pays each account only the difference. Once the window is over, anyone may close the season: what nobody
/// took goes back to its funder.
/// @dev No owner, no upgrade. Each season is backed in full before it can be claimed from, and never pays more than
/// it was funded with, whatever its root says. Tokens that take a fee on transfer are refused: funding and every
/// payment are checked against this contract's own balance. Tokens that change balances by themselves are out of
/// scope: the seasons of such a token would have to share a loss.
contract MerkleDrop is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Season {
        address funder;
        uint64 opens;
        bool closed;
        IERC20 token;
        uint64 closes;
        uint32 number;
        bytes32 root;
        uint256 total;
        uint256 paid;
    }

    mapping(bytes32 id => Season) private _seasons;
    mapping(bytes32 id => mapping(address account => uint256)) private _claimed;

    /// @notice Root `number` of a season holds from now on. Over all its leaves `total` is to be paid, what was paid
    /// by earlier roots included; `added` came from the funder.
    event RootPublished(
        bytes32 indexed season,
        address indexed funder,
        IERC20 indexed token,
        uint32 number,
        bytes32 root,
        uint256 total,
        uint256 added,
        uint64 opens,
        uint64 closes
    );
    /// @notice `account` was paid `amount`, and with it `cumulative` in all.
    event Claimed(bytes32 indexed season, address indexed account, uint256 cumulative, uint256 amount);
    /// @notice The season is over; `returned` went back to its funder.
    event SeasonClosed(bytes32 indexed season, uint256 returned);

    /// @notice There is no such season, or nothing of it was published yet.
    error SeasonUnknown(bytes32 season);
    /// @notice The root to publish has to be number `next` of its season.
    error NotTheNextRoot(bytes32 season, uint32 number, uint32 next);
    /// @notice The window ends in the past, ends before it begins, or takes from what was promised: a later root may
    /// neither open later than the one before nor close earlier.
    error WindowRefused(uint64 opens, uint64 closes);
    /// @notice `total` is zero, or less than an earlier root's: what was promised never falls.
    error TotalRefused(uint256 total, uint256 before);
    /// @notice The root is zero.
    error RootRefused();
    /// @notice There is no contract at the token's address.
    error TokenHasNoCode(address token);
    /// @notice `moved` of the token arrived here, or left, where `asked` should have: it takes a fee, or lies.
    error TokenMovedOtherwise(address token, uint256 asked, uint256 moved);
    /// @notice The season opens at `opens`.
    error SeasonNotOpen(bytes32 season, uint64 opens);
    /// @notice The season's window ended at `closes`.
    error SeasonOver(bytes32 season, uint64 closes);
    /// @notice The season's window ends at `closes`, and not before.
    error SeasonStillOpen(bytes32 season, uint64 closes);
    /// @notice The season is closed.
    error SeasonIsClosed(bytes32 season);
    /// @notice The proof does not lead from this account and amount to the season's root.
    error ProofRefused(bytes32 season, address account, uint256 cumulative);
    /// @notice The account has received `claimed` already.
    error NothingToClaim(bytes32 season, address account, uint256 claimed);
    /// @notice The leaves add up to more than the season was funded with, of which `left` is left.
    error SeasonExhausted(bytes32 season, uint256 left);

    /// @notice Publishes a root and takes what it needs beyond the root before: the season is funded when this
    /// returns, and can be claimed from within its window. For anyone who has approved this contract for the
    /// difference; a season is its publisher's alone.
    /// @param token The token to pay in.
    /// @param name The caller's name for the season, 16 bytes (a UUID).
    /// @param number 1 for the first root of a season, then one more each time: sent twice it lands once.
    /// @param root Of the tree over `leafOf` of each account, as OpenZeppelin's libraries build it (pairs sorted).
    /// @param total The sum of all leaves.
    /// @param opens When claims begin, and @param closes when they end: Unix seconds.
    /// @dev Reverts `TokenHasNoCode`, `RootRefused`, `NotTheNextRoot`, `SeasonIsClosed`, `SeasonOver`,
    /// `WindowRefused`, `TotalRefused`, `TokenMovedOtherwise`, `ReentrancyGuardReentrantCall`, or as the token does
    /// (also when balance or allowance do not suffice).
    function publish(
        IERC20 token,
        bytes16 name,
        uint32 number,
        bytes32 root,
        uint256 total,
        uint64 opens,
        uint64 closes
    ) external nonReentrant {
        if (address(token).code.length == 0) revert TokenHasNoCode(address(token));
        if (root == bytes32(0)) revert RootRefused();
        bytes32 id = seasonId(msg.sender, token, name);
        Season storage season = _seasons[id];
        if (number != season.number + 1) revert NotTheNextRoot(id, number, season.number + 1);
        if (closes <= opens || closes <= _now()) revert WindowRefused(opens, closes);
        if (number > 1) {
            if (season.closed) revert SeasonIsClosed(id);
            if (_now() >= season.closes) revert SeasonOver(id, season.closes);
            if (opens > season.opens || closes < season.closes) revert WindowRefused(opens, closes);
        }
        uint256 before = season.total;
        if (total == 0 || total < before) revert TotalRefused(total, before);
        season.funder = msg.sender;
        season.token = token;
        season.number = number;
        season.root = root;
        season.total = total;
        season.opens = opens;
        season.closes = closes;
        uint256 added = total - before;
        emit RootPublished(id, msg.sender, token, number, root, total, added, opens, closes);
        if (added > 0) {
            uint256 held = token.balanceOf(address(this));
            token.safeTransferFrom(msg.sender, address(this), added);
            uint256 rest = token.balanceOf(address(this));
            uint256 arrived = rest > held ? rest - held : 0;
            if (arrived != added) revert TokenMovedOtherwise(address(token), added, arrived);
        }
    }

    /// @notice Pays an account what its leaf says beyond what it has received. Anyone may submit; only the leaf's
    /// account is paid.
    /// @param id The season, as `seasonId` gives it.
    /// @param account The leaf's account. @param cumulative What the leaf says it may have received in all.
    /// @param proof From the leaf to the season's root.
    /// @dev Reverts `SeasonUnknown`, `SeasonIsClosed`, `SeasonNotOpen`, `SeasonOver`, `ProofRefused`,
    /// `NothingToClaim`, `SeasonExhausted` (a root whose leaves exceed its total), `TokenMovedOtherwise`,
    /// `ReentrancyGuardReentrantCall`, or as the token does. Everything is recorded before the token is called.
    function claim(bytes32 id, address account, uint256 cumulative, bytes32[] calldata proof)
        external
        nonReentrant
    {
        Season storage season = _seasons[id];
        IERC20 token = season.token;
        if (season.number == 0) revert SeasonUnknown(id);
        if (season.closed) revert SeasonIsClosed(id);
        if (_now() < season.opens) revert SeasonNotOpen(id, season.opens);
        if (_now() >= season.closes) revert SeasonOver(id, season.closes);
        if (!MerkleProof.verifyCalldata(proof, season.root, leafOf(token, account, cumulative))) {
            revert ProofRefused(id, account, cumulative);
        }
        uint256 claimed = _claimed[id][account];
        if (cumulative <= claimed) revert NothingToClaim(id, account, claimed);
        uint256 amount = cumulative - claimed;
        uint256 left = season.total - season.paid;
        if (amount > left) revert SeasonExhausted(id, left);
        _claimed[id][account] = cumulative;
        season.paid += amount;
        emit Claimed(id, account, cumulative, amount);
        _send(token, account, amount);
    }

    /// @notice Ends a season whose window is over and returns what nobody took to its funder. Anyone may call.
    /// @param id The season, as `seasonId` gives it.
    /// @dev Reverts `SeasonUnknown`, `SeasonIsClosed`, `SeasonStillOpen`, `TokenMovedOtherwise`,
    /// `ReentrancyGuardReentrantCall`, or as the token does.
    function close(bytes32 id) external nonReentrant {
        Season storage season = _seasons[id];
        if (season.number == 0) revert SeasonUnknown(id);
        if (season.closed) revert SeasonIsClosed(id);
        if (_now() < season.closes) revert SeasonStillOpen(id, season.closes);
        season.closed = true;
        uint256 returned = season.total - season.paid;
        emit SeasonClosed(id, returned);
        if (returned > 0) _send(season.token, season.funder, returned);
    }

    /// @notice A season as it stands; `number` is 0 for one that does not exist. Never reverts.
    function seasonOf(bytes32 id) external view returns (Season memory) {
        return _seasons[id];
    }

    /// @notice What an account has received of a season in all. Never reverts.
    function claimedOf(bytes32 id, address account) external view returns (uint256) {
        return _claimed[id][account];
    }

    /// @notice The id of a season on this chain and contract: bound to funder, token and name. Never reverts.
    function seasonId(address funder, IERC20 token, bytes16 name) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), funder, token, name));
    }

    /// @notice The leaf of an account on this chain and contract, hashed twice so that no inner node of a tree can be
    /// passed off as one. Never reverts.
    function leafOf(IERC20 token, address account, uint256 cumulative) public view returns (bytes32) {
        return
            keccak256(
                bytes.concat(keccak256(abi.encode(block.chainid, address(this), token, account, cumulative)))
            );
    }

    /// @dev Exactly `amount` leaves this contract, else the whole call is undone: a token that took more would take
    /// it from other seasons.
    function _send(IERC20 token, address to, uint256 amount) private {
        uint256 held = token.balanceOf(address(this));
        token.safeTransfer(to, amount);
        uint256 rest = token.balanceOf(address(this));
        if (rest + amount != held) {
            revert TokenMovedOtherwise(address(token), amount, held > rest ? held - rest : 0);
        }
    }

    /// @dev Windows are long: the seconds that whoever makes a block may choose are none of their concern.
    function _now() private view returns (uint256) {
        return block.timestamp;
    }
}
