// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMintable, RewardMinter} from "../src/RewardMinter.sol";
import {RewardDistributor} from "../src/RewardDistributor.sol";
import {RewardToken} from "../src/RewardToken.sol";
import {MerkleDrop} from "../src/MerkleDrop.sol";
import {Merkle} from "./support/Merkle.sol";
import {Test} from "./support/Test.sol";

/// @dev What each call costs as a transaction of its own (run with --isolate), written to snapshots/*.json.
contract GasTest is Test {
    address private constant PAYER = address(0xA11CE);

    RewardDistributor private distributor;
    RewardMinter private minter;
    RewardToken private token;

    function setUp() external {
        vm.warp(20_000 days);
        distributor = new RewardDistributor();
        minter = new RewardMinter(address(0xAD), address(0x407), address(0xCA9), address(0x9A5));
        token = new RewardToken("Loyal", "LTZ", 0, address(this));
        token.grantRole(token.MINTER_ROLE(), address(minter));
        token.grantRole(token.MINTER_ROLE(), address(this));
        token.mint(PAYER, 1e24);
        vm.prank(PAYER);
        token.approve(address(distributor), type(uint256).max);
        vm.prank(address(0xCA9));
        minter.setDailyCap(address(token), type(uint128).max);
    }

    function test_pay() external {
        // The payer's first batch also makes rooms in storage that later ones find.
        measure(1, "1 recipient");
        measure(10, "10 recipients");
        measure(50, "50 recipients");
        measure(200, "200 recipients");
        measure(500, "500 recipients");
    }

    function test_pay_in_place_of_another_batch() external {
        bytes32[] memory list = recipients(200, "superseding");
        bytes32 earlier = distributor.batchId(token, "earlier", list);
        vm.prank(PAYER);
        distributor.pay(token, "batch", ids(earlier), list);
        vm.snapshotGasLastCall("RewardDistributor", "pay: 200 recipients, new holders, 1 superseded");
    }

    function test_mint() external {
        vm.prank(address(0x407));
        minter.mint(IMintable(address(token)), "a", PAYER, 1000);
        vm.snapshotGasLastCall("RewardMinter", "mint: first of the day");
        vm.prank(address(0x407));
        minter.mint(IMintable(address(token)), "b", PAYER, 1000);
        vm.snapshotGasLastCall("RewardMinter", "mint");
    }

    function test_transfer() external {
        vm.prank(PAYER);
        token.transfer(address(0xB0B), 500);
        vm.snapshotGasLastCall("RewardToken", "transfer: new holder");
        vm.prank(PAYER);
        token.transfer(address(0xB0B), 500);
        vm.snapshotGasLastCall("RewardToken", "transfer: existing holder");
    }

    function test_drop() external {
        MerkleDrop drop = new MerkleDrop();
        vm.prank(PAYER);
        token.approve(address(drop), type(uint256).max);
        measureDrop(drop, 1_000, "1000 leaves");
        measureDrop(drop, 10_000, "10000 leaves");
    }

    function measureDrop(MerkleDrop drop, uint256 count, string memory label) private {
        bytes16 name = bytes16(uint128(count));
        bytes32 id = drop.seasonId(PAYER, token, name);
        bytes32[] memory leaves = new bytes32[](count);
        address[] memory accounts = new address[](2);
        for (uint256 i = 0; i < count; ++i) {
            address account = address(uint160(uint256(keccak256(abi.encode(label, i)))));
            if (i < 2) accounts[i] = account;
            leaves[i] = drop.leafOf(token, account, 500);
        }
        bytes32[] memory nodes = Merkle.tree(leaves);
        vm.prank(PAYER);
        drop.publish(token, name, 1, nodes[0], 500 * count, 20_000 days, 20_030 days);
        vm.snapshotGasLastCall("MerkleDrop", string.concat("publish: ", label));
        drop.claim(id, accounts[0], 500, Merkle.proof(nodes, 0));
        vm.snapshotGasLastCall("MerkleDrop", string.concat("claim: ", label, ", first of the season"));
        drop.claim(id, accounts[1], 500, Merkle.proof(nodes, 1));
        vm.snapshotGasLastCall("MerkleDrop", string.concat("claim: ", label));
        vm.warp(20_030 days);
        drop.close(id);
        vm.snapshotGasLastCall("MerkleDrop", string.concat("close: ", label));
        vm.warp(20_000 days);
    }

    function measure(uint256 count, string memory label) private {
        bytes32[] memory list = recipients(count, label);
        vm.prank(PAYER);
        distributor.pay(token, "new", noIds(), list);
        vm.snapshotGasLastCall("RewardDistributor", string.concat("pay: ", label, ", new holders"));
        vm.prank(PAYER);
        distributor.pay(token, "existing", noIds(), list);
        vm.snapshotGasLastCall("RewardDistributor", string.concat("pay: ", label, ", existing holders"));
    }

    /// @dev Addresses with as many zero bytes as real ones, and amounts of two bytes.
    function recipients(uint256 count, string memory salt) private pure returns (bytes32[] memory list) {
        list = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = word(address(uint160(uint256(keccak256(abi.encode(salt, i))))), 500 + i);
        }
    }
}
