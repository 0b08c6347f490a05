// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {IMintable, RewardMinter} from "../src/RewardMinter.sol";
import {RewardToken} from "../src/RewardToken.sol";
import {Test} from "./support/Test.sol";

contract RewardMinterTest is Test {
    address private constant ADMIN = address(0xAD);
    address private constant HOT = address(0x407);
    address private constant CAPS = address(0xCA9);
    address private constant PAUSER = address(0x9A5);
    address private constant TREASURY = address(0x7);
    uint256 private constant NOON = 20_000 days + 12 hours;

    RewardMinter private minter;
    RewardToken private token;

    function setUp() external {
        vm.warp(NOON);
        minter = new RewardMinter(ADMIN, HOT, CAPS, PAUSER);
        token = new RewardToken("Loyal", "LTZ", 0, address(this));
        token.grantRole(token.MINTER_ROLE(), address(minter));
        cap(1000);
    }

    function test_s29_the_hot_key_mints_within_the_cap() external {
        vm.expectEmit(address(minter));
        emit RewardMinter.Minted(HOT, "a", address(token), TREASURY, 400);
        mint("a", 400);
        equal(token.balanceOf(TREASURY), 400, "treasury");
        equal(minter.leftToday(address(token)), 600, "left");
        vm.expectRevert(abi.encodeWithSelector(RewardMinter.DailyCapExceeded.selector, address(token), 601, 600));
        mint("b", 601);
        mint("b", 600);
        equal(minter.leftToday(address(token)), 0, "left");
    }

    function test_s29_the_cap_is_per_utc_day() external {
        mint("a", 1000);
        vm.warp(20_001 days - 1);
        equal(minter.leftToday(address(token)), 0, "last second");
        vm.warp(20_001 days);
        equal(minter.leftToday(address(token)), 1000, "midnight");
        mint("b", 1000);
        equal(token.totalSupply(), 2000, "supply");
    }

    function test_s29_an_id_mints_once_for_each_minter() external {
        mint("a", 1);
        isTrue(minter.isMinted(HOT, "a"), "minted");
        vm.expectRevert(abi.encodeWithSelector(RewardMinter.AlreadyMinted.selector, HOT, bytes32("a")));
        mint("a", 1);
        vm.warp(NOON + 10 days);
        vm.expectRevert(abi.encodeWithSelector(RewardMinter.AlreadyMinted.selector, HOT, bytes32("a")));
        mint("a", 1);
        bytes32 role = minter.MINTER_ROLE();
        vm.prank(ADMIN);
        minter.grantRole(role, address(0x2));
        vm.prank(address(0x2));
        minter.mint(IMintable(address(token)), "a", TREASURY, 1);
        equal(token.totalSupply(), 2, "supply");
    }

    function test_s29_a_refused_mint_leaves_id_and_cap_unused() external {
        vm.expectPartialRevert(RewardMinter.DailyCapExceeded.selector);
        mint("a", 1001);
        isTrue(!minter.isMinted(HOT, "a"), "minted");
        mint("a", 1000);
    }

    function test_s29_caps_are_per_token_and_start_at_nothing() external {
        RewardToken other = new RewardToken("Other", "OTH", 0, address(this));
        other.grantRole(other.MINTER_ROLE(), address(minter));
        mint("a", 1000);
        vm.expectRevert(abi.encodeWithSelector(RewardMinter.DailyCapExceeded.selector, address(other), 1, 0));
        vm.prank(HOT);
        minter.mint(IMintable(address(other)), "b", TREASURY, 1);
    }

    function test_s29_a_lowered_cap_counts_what_was_minted() external {
        mint("a", 400);
        cap(300);
        equal(minter.leftToday(address(token)), 0, "left");
        cap(500);
        equal(minter.leftToday(address(token)), 100, "left");
        equal(minter.dailyCapOf(address(token)), 500, "cap");
    }

    function test_s29_only_the_cap_admin_sets_caps() external {
        vm.expectRevert(lacks(HOT, minter.CAP_ROLE()));
        vm.prank(HOT);
        minter.setDailyCap(address(token), 2000);
    }

    function test_s29_only_the_minter_mints() external {
        vm.expectRevert(lacks(CAPS, minter.MINTER_ROLE()));
        vm.prank(CAPS);
        minter.mint(IMintable(address(token)), "a", TREASURY, 1);
    }

    function test_s29_the_minter_holds_no_other_role() external {
        vm.expectRevert(differ(HOT));
        new RewardMinter(HOT, HOT, CAPS, PAUSER);
        vm.expectRevert(differ(HOT));
        new RewardMinter(ADMIN, HOT, HOT, PAUSER);
        vm.expectRevert(differ(HOT));
        new RewardMinter(ADMIN, HOT, CAPS, HOT);
        bytes32 minterRole = minter.MINTER_ROLE();
        bytes32 capRole = minter.CAP_ROLE();
        vm.expectRevert(differ(HOT));
        vm.prank(ADMIN);
        minter.grantRole(capRole, HOT);
        vm.expectRevert(differ(CAPS));
        vm.prank(ADMIN);
        minter.grantRole(minterRole, CAPS);
    }

    function test_nothing_is_minted_while_paused() external {
        vm.prank(PAUSER);
        minter.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        mint("a", 1);
        vm.prank(PAUSER);
        minter.unpause();
        mint("a", 1);
    }

    function test_only_pausers_pause() external {
        vm.expectRevert(lacks(HOT, minter.PAUSER_ROLE()));
        vm.prank(HOT);
        minter.pause();
        vm.prank(PAUSER);
        minter.pause();
        vm.expectRevert(lacks(HOT, minter.PAUSER_ROLE()));
        vm.prank(HOT);
        minter.unpause();
    }

    function test_minting_nothing_is_refused() external {
        vm.expectRevert(RewardMinter.NothingToMint.selector);
        mint("a", 0);
    }

    function testFuzz_s29_no_day_mints_more_than_its_cap(uint128 dailyCap, uint128[8] memory amounts, uint8 step)
        external
    {
        cap(dailyCap);
        uint256 day;
        uint256 mintedThatDay;
        for (uint256 i = 0; i < amounts.length; ++i) {
            // Not read back from block.timestamp, which the optimizer takes for constant within one call.
            uint256 time = NOON + i * step * 1 minutes;
            vm.warp(time);
            if (time / 1 days != day) (day, mintedThatDay) = (time / 1 days, 0);
            bool fits = amounts[i] != 0 && mintedThatDay + amounts[i] <= dailyCap;
            vm.prank(HOT);
            try minter.mint(IMintable(address(token)), bytes32(i), TREASURY, amounts[i]) {
                isTrue(fits, "minted beyond the cap");
                mintedThatDay += amounts[i];
            } catch {
                isTrue(!fits, "refused within the cap");
            }
            equal(minter.leftToday(address(token)), dailyCap - mintedThatDay, "left");
        }
    }

    function cap(uint128 amount) private {
        vm.prank(CAPS);
        minter.setDailyCap(address(token), amount);
    }

    function mint(bytes32 id, uint256 amount) private {
        vm.prank(HOT);
        minter.mint(IMintable(address(token)), id, TREASURY, amount);
    }

    function lacks(address account, bytes32 role) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role);
    }

    function differ(address account) private pure returns (bytes memory) {
        return abi.encodeWithSelector(RewardMinter.RolesMustDiffer.selector, account);
    }
}
