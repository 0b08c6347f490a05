// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {RewardToken} from "../src/RewardToken.sol";
import {Test} from "./support/Test.sol";

contract RewardTokenTest is Test {
    address private constant ADMIN = address(0xAD);
    address private constant MINTER = address(0x317);
    address private constant PAUSER = address(0x9A5);
    address private constant ANN = address(0xA);
    address private constant BOB = address(0xB);
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    RewardToken private token;

    function setUp() external {
        token = new RewardToken("Loyal", "LTZ", 0, ADMIN);
        grant(token.MINTER_ROLE(), MINTER);
        grant(token.PAUSER_ROLE(), PAUSER);
        vm.prank(MINTER);
        token.mint(ANN, 100);
    }

    function testFuzz_decimals_are_those_of_the_deployment(uint8 decimals) external {
        equal(new RewardToken("Loyal", "LTZ", decimals, ADMIN).decimals(), decimals, "decimals");
    }

    function test_an_admin_is_needed() external {
        vm.expectRevert(RewardToken.AdminMissing.selector);
        new RewardToken("Loyal", "LTZ", 0, address(0));
    }

    function test_only_minters_mint() external {
        equal(token.balanceOf(ANN), 100, "Ann");
        equal(token.totalSupply(), 100, "supply");
        // Not even the admin, who may only appoint.
        vm.expectRevert(lacks(ADMIN, token.MINTER_ROLE()));
        vm.prank(ADMIN);
        token.mint(ADMIN, 1);
    }

    function test_only_the_admin_appoints() external {
        bytes32 role = token.MINTER_ROLE();
        vm.expectRevert(lacks(MINTER, token.DEFAULT_ADMIN_ROLE()));
        vm.prank(MINTER);
        token.grantRole(role, BOB);
    }

    function test_nothing_moves_while_paused() external {
        vm.prank(PAUSER);
        token.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vm.prank(ANN);
        token.transfer(BOB, 1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vm.prank(MINTER);
        token.mint(BOB, 1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vm.prank(ANN);
        token.burn(1);
        vm.prank(PAUSER);
        token.unpause();
        vm.prank(ANN);
        token.transfer(BOB, 1);
        equal(token.balanceOf(BOB), 1, "Bob");
    }

    function test_only_pausers_pause_and_unpause() external {
        vm.expectRevert(lacks(ANN, token.PAUSER_ROLE()));
        vm.prank(ANN);
        token.pause();
        vm.prank(PAUSER);
        token.pause();
        vm.expectRevert(lacks(ANN, token.PAUSER_ROLE()));
        vm.prank(ANN);
        token.unpause();
    }

    function test_holders_burn_their_own() external {
        vm.prank(ANN);
        token.burn(40);
        equal(token.balanceOf(ANN), 60, "Ann");
        equal(token.totalSupply(), 60, "supply");
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, BOB, 0, 1));
        vm.prank(BOB);
        token.burnFrom(ANN, 1);
    }

    function testFuzz_a_permit_allows_once(uint256 key, uint256 amount) external {
        key = key % 1e18 + 1;
        address owner = vm.addr(key);
        bytes32 digest = permitDigest(owner, BOB, amount, 0, 1000);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        token.permit(owner, BOB, amount, 1000, v, r, s);
        equal(token.allowance(owner, BOB), amount, "allowance");
        equal(token.nonces(owner), 1, "nonce");
        // Signed for nonce 0, it recovers another signer now; which one depends on the signature.
        try token.permit(owner, BOB, amount, 1000, v, r, s) {
            isTrue(false, "used twice");
        } catch (bytes memory thrown) {
            isTrue(bytes4(thrown) == ERC20Permit.ERC2612InvalidSigner.selector, "error");
        }
    }

    function test_a_late_permit_is_refused() external {
        vm.warp(1001);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(7, permitDigest(vm.addr(7), BOB, 1, 0, 1000));
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, 1000));
        token.permit(vm.addr(7), BOB, 1, 1000, v, r, s);
    }

    function grant(bytes32 role, address account) private {
        vm.prank(ADMIN);
        token.grantRole(role, account);
    }

    function lacks(address account, bytes32 role) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role);
    }

    function permitDigest(address owner, address spender, uint256 amount, uint256 nonce, uint256 deadline)
        private
        view
        returns (bytes32)
    {
        bytes32 content = keccak256(abi.encode(PERMIT, owner, spender, amount, nonce, deadline));
        return keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), content));
    }
}
