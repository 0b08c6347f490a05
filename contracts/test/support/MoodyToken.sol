// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A token with moods, for tests of payouts: it refuses certain recipients, in several ways, or everybody.
/// @dev Anyone may mint and set moods; it is for local chains only.
contract MoodyToken {
    enum Mood {
        Kind,
        Reverts,
        RevertsSilently,
        AnswersFalse,
        RevertsInBlocks
    }

    uint8 public constant decimals = 0;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => Mood) public moodTowards;
    bool public paused;

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed owner, address indexed spender, uint256 amount);

    error Refused(address recipient);
    error Paused();

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    function setMood(address recipient, Mood mood) external {
        moodTowards[recipient] = mood;
    }

    function setPaused(bool paused_) external {
        paused = paused_;
    }

    function seize(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }

    function forget(address owner, address spender) external {
        allowance[owner][spender] = 0;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (allowance[from][msg.sender] != type(uint256).max) allowance[from][msg.sender] -= amount;
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        if (paused) revert Paused();
        Mood mood = moodTowards[to];
        if (mood == Mood.Reverts) revert Refused(to);
        // Inherits nothing, says nothing.
        // forge-lint: disable-next-line(custom-errors)
        if (mood == Mood.RevertsSilently) revert();
        if (mood == Mood.AnswersFalse) return false;
        // A simulation pays no gas price, a transaction in a block does: this one can't be simulated.
        if (mood == Mood.RevertsInBlocks && tx.gasprice > 0) revert Refused(to);
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
        return true;
    }
}
