// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Pausable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Pausable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The token that a program pays rewards in.
/// @notice ERC-20 with permits (EIP-2612), burning by holders, and roles to mint and to pause. Its decimals are
/// fixed at deployment; 0 makes one token the smallest unit, as one point is.
/// @dev The admin only appoints; it can neither mint nor pause until it gives itself a role. While paused nothing
/// moves: transfers, mints and burns all revert with `EnforcedPause`.
contract RewardToken is ERC20, ERC20Burnable, ERC20Pausable, ERC20Permit, AccessControl {
    /// @notice May create tokens. Meant for a `RewardMinter`, which has a daily cap, not for a hot key.
    bytes32 public constant MINTER_ROLE = keccak256("MINTER_ROLE");
    /// @notice May pause and unpause all movements.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    uint8 private immutable _decimals;

    /// @notice The admin given at deployment is the zero address.
    error AdminMissing();

    /// @param name_ Name shown by wallets; also the name in the permits' signing domain.
    /// @param symbol_ Symbol shown by wallets.
    /// @param decimals_ How many decimals wallets show; never changes.
    /// @param admin Who appoints minters and pausers. Reverts if zero: the roles could never be given.
    constructor(string memory name_, string memory symbol_, uint8 decimals_, address admin)
        ERC20(name_, symbol_)
        ERC20Permit(name_)
    {
        if (admin == address(0)) revert AdminMissing();
        _decimals = decimals_;
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
    }

    /// @notice How many decimals wallets show, as given at deployment. Never reverts.
    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @notice Creates `amount` of the smallest unit for `to`. For minters.
    /// @dev Reverts `AccessControlUnauthorizedAccount` without MINTER_ROLE, `ERC20InvalidReceiver` for the zero
    /// address, `EnforcedPause` while paused.
    function mint(address to, uint256 amount) external onlyRole(MINTER_ROLE) {
        _mint(to, amount);
    }

    /// @notice Stops every movement of the token. For pausers.
    /// @dev Reverts `AccessControlUnauthorizedAccount` without PAUSER_ROLE, `EnforcedPause` if already paused.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Lets the token move again. For pausers.
    /// @dev Reverts `AccessControlUnauthorizedAccount` without PAUSER_ROLE, `ExpectedPause` if not paused.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
    }

    function _update(address from, address to, uint256 amount) internal override(ERC20, ERC20Pausable) {
        super._update(from, to, amount);
    }
}
