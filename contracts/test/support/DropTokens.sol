// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleDrop} from "../../src/MerkleDrop.sol";
import {PlainToken} from "./Tokens.sol";

/// @dev Burns a part of what is moved (`fromRecipient`), or takes it from the sender on top.
contract FeeToken is PlainToken {
    uint256 public fee;
    bool public onTop;

    function setFee(uint256 fee_, bool onTop_) external {
        (fee, onTop) = (fee_, onTop_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from == address(0) || to == address(0) || fee == 0) return;
        super._update(onTop ? from : to, address(0), fee);
    }
}

/// @dev Says that its transfers worked, and moves nothing.
contract LyingToken is PlainToken {
    bool public lies;

    function setLies(bool lies_) external {
        lies = lies_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (!lies) super._update(from, to, amount);
    }
}

/// @dev Makes one call to the drop, as anyone could, while it is being moved.
contract ReenteringDropToken is PlainToken {
    MerkleDrop private immutable DROP;
    bytes private _call;

    constructor(MerkleDrop drop) {
        DROP = drop;
    }

    function setCall(bytes calldata call_) external {
        _call = call_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        bytes memory call_ = _call;
        if (call_.length == 0) return;
        delete _call;
        (bool done, bytes memory answer) = address(DROP).call(call_);
        if (!done) {
            assembly {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }
}
