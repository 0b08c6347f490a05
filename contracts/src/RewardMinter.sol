// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @notice What the minter needs of a token: `RewardToken.mint`, for which this contract holds MINTER_ROLE.
interface IMintable {
    function mint(address to, uint256 amount) external;
}

/// @title Mints reward tokens for a hot key, within a daily cap that another key sets.
/// @notice A stolen minter key can create at most what is left of today's cap, and a request sent twice mints once.
/// @dev Whoever holds MINTER_ROLE can hold no other role here (`RolesMustDiffer`), so that one key can't both mint
/// and lift its own limit. A token without a cap can't be minted: the cap starts at zero.
contract RewardMinter is AccessControl, Pausable {
    /// @notice The hot key that mints.
    bytes32 public constant MINTER_ROLE = keccak256("MINTER_ROLE");
    /// @notice Sets the daily caps.
    bytes32 public constant CAP_ROLE = keccak256("CAP_ROLE");
    /// @notice Pauses and unpauses.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    struct Allowance {
        uint128 dailyCap;
        uint128 mintedToday;
        uint64 today;
    }

    mapping(address token => Allowance) private _allowances;
    mapping(address minter => mapping(bytes32 id => bool)) private _minted;

    /// @notice `amount` of `token` was created for `to` under the request `id` of `minter`.
    event Minted(address indexed minter, bytes32 indexed id, address indexed token, address to, uint256 amount);
    /// @notice From now on at most `dailyCap` of `token` is minted in a UTC day.
    event DailyCapSet(address indexed token, uint128 dailyCap);

    /// @notice `minter` has already minted for this `id`.
    error AlreadyMinted(address minter, bytes32 id);
    /// @notice Minting `requested` would exceed what is `left` of today's cap of `token`.
    error DailyCapExceeded(address token, uint256 requested, uint256 left);
    /// @notice `account` would hold MINTER_ROLE beside another role.
    error RolesMustDiffer(address account);
    /// @notice Nothing to mint.
    error NothingToMint();

    /// @param admin Appoints the others. @param minter The hot key. @param capAdmin Sets the caps.
    /// @param pauser Pauses.
    /// @dev Reverts `RolesMustDiffer` if `minter` is one of the others.
    constructor(address admin, address minter, address capAdmin, address pauser) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(CAP_ROLE, capAdmin);
        _grantRole(PAUSER_ROLE, pauser);
        _grantRole(MINTER_ROLE, minter);
    }

    /// @notice Creates `amount` of `token` for `to`, once for each `id` of the caller. For the minter.
    /// @param token A token that gave this contract its MINTER_ROLE.
    /// @param id The caller's name for this request; a second use reverts.
    /// @param amount In the token's smallest unit.
    /// @dev Reverts `AccessControlUnauthorizedAccount` without MINTER_ROLE, `EnforcedPause` while paused,
    /// `AlreadyMinted`, `NothingToMint`, `DailyCapExceeded`, or with the token's own error.
    function mint(IMintable token, bytes32 id, address to, uint256 amount)
        external
        onlyRole(MINTER_ROLE)
        whenNotPaused
    {
        if (_minted[msg.sender][id]) revert AlreadyMinted(msg.sender, id);
        if (amount == 0) revert NothingToMint();
        Allowance storage allowance = _allowances[address(token)];
        uint256 left = leftToday(address(token));
        if (amount > left) revert DailyCapExceeded(address(token), amount, left);
        uint64 today = _today();
        uint128 before = allowance.today == today ? allowance.mintedToday : 0;
        allowance.today = today;
        // Not above dailyCap, which is a uint128.
        // forge-lint: disable-next-line(unsafe-typecast)
        allowance.mintedToday = before + uint128(amount);
        _minted[msg.sender][id] = true;
        emit Minted(msg.sender, id, address(token), to, amount);
        token.mint(to, amount);
    }

    /// @notice Sets how much of `token` may be minted in a UTC day, in its smallest unit. For the cap admin.
    /// @dev Counts what was minted today already. Reverts `AccessControlUnauthorizedAccount` without CAP_ROLE.
    function setDailyCap(address token, uint128 dailyCap) external onlyRole(CAP_ROLE) {
        _allowances[token].dailyCap = dailyCap;
        emit DailyCapSet(token, dailyCap);
    }

    /// @notice Stops minting. For pausers.
    /// @dev Reverts `AccessControlUnauthorizedAccount` without PAUSER_ROLE, `EnforcedPause` if already paused.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Lets minting go on. For pausers.
    /// @dev Reverts `AccessControlUnauthorizedAccount` without PAUSER_ROLE, `ExpectedPause` if not paused.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
    }

    /// @notice How much of `token` may be minted in a UTC day. Never reverts.
    function dailyCapOf(address token) external view returns (uint256) {
        return _allowances[token].dailyCap;
    }

    /// @notice How much of `token` may still be minted in the UTC day of this block. Never reverts.
    function leftToday(address token) public view returns (uint256) {
        Allowance storage allowance = _allowances[token];
        uint256 used = allowance.today == _today() ? allowance.mintedToday : 0;
        // A cap may have been lowered below what was minted already.
        return allowance.dailyCap > used ? allowance.dailyCap - used : 0;
    }

    /// @notice Whether `minter` has minted for `id`. Never reverts.
    function isMinted(address minter, bytes32 id) external view returns (bool) {
        return _minted[minter][id];
    }

    function _today() private view returns (uint64) {
        return uint64(block.timestamp / 1 days);
    }

    /// @dev Every way to get a role passes here.
    function _grantRole(bytes32 role, address account) internal override returns (bool) {
        bool conflict = role == MINTER_ROLE
            ? hasRole(DEFAULT_ADMIN_ROLE, account) || hasRole(CAP_ROLE, account) || hasRole(PAUSER_ROLE, account)
            : hasRole(MINTER_ROLE, account);
        if (conflict) revert RolesMustDiffer(account);
        return super._grantRole(role, account);
    }
}
