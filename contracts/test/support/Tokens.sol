// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";

contract PlainToken is ERC20("Plain", "PLN") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @dev Refuses one recipient, as tokens with a block list do.
contract BlockingToken is PlainToken {
    address public blocked;

    error Blocked(address account);

    function setBlocked(address account) external {
        blocked = account;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (to == blocked) revert Blocked(to);
        super._update(from, to, amount);
    }
}

/// @dev Moves tokens and answers nothing, as some old tokens do.
contract SilentToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Moves nothing and answers with the bytes that it was given.
contract AnsweringToken {
    bytes private _answer;

    function setAnswer(bytes calldata answer) external {
        _answer = answer;
    }

    function transferFrom(address, address, uint256) external view {
        bytes memory answer = _answer;
        assembly {
            return(add(answer, 0x20), mload(answer))
        }
    }
}

/// @dev Answers true once, and from then on a byte less than a word.
contract ShortAnswerToken {
    bool private _asked;

    function transferFrom(address, address, uint256) external {
        uint256 length = _asked ? 31 : 32;
        _asked = true;
        assembly {
            mstore(0x00, eq(length, 32))
            return(0x00, length)
        }
    }
}

/// @dev Reverts with more bytes than anyone wants to copy.
contract ShoutingToken {
    function transferFrom(address, address, uint256) external pure {
        assembly {
            mstore(0x00, 0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)
            revert(0x00, 100000)
        }
    }
}

/// @dev Pays itself: calls the distributor again, as its own payer, while a batch is being paid.
contract ReenteringToken is PlainToken {
    RewardDistributor private immutable DISTRIBUTOR;
    bool private _entered;

    constructor(RewardDistributor distributor) {
        DISTRIBUTOR = distributor;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (!_entered) {
            _entered = true;
            _approve(address(this), address(DISTRIBUTOR), amount);
            _mint(address(this), amount);
            bytes32[] memory payments = new bytes32[](1);
            payments[0] = bytes32(uint256(uint160(to)) << 96 | amount);
            DISTRIBUTOR.pay(IERC20(address(this)), bytes16("inner"), new bytes32[](0), payments);
        }
        return super.transferFrom(from, to, amount);
    }
}

/// @dev A payer that is a contract, and whose token lets it try to pay the same batch again from within.
contract GreedyPayerToken is PlainToken {
    RewardDistributor private immutable DISTRIBUTOR;
    bool private _entered;
    bytes32[] private _payments;

    constructor(RewardDistributor distributor) {
        DISTRIBUTOR = distributor;
        _approve(address(this), address(distributor), type(uint256).max);
        _mint(address(this), 1_000_000);
    }

    function start(bytes32[] calldata payments) external {
        _payments = payments;
        DISTRIBUTOR.pay(IERC20(address(this)), bytes16("greedy"), new bytes32[](0), payments);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (!_entered) {
            _entered = true;
            DISTRIBUTOR.pay(IERC20(address(this)), bytes16("greedy"), new bytes32[](0), _payments);
        }
        return super.transferFrom(from, to, amount);
    }
}
