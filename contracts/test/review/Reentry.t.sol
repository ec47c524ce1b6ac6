// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {RootFixture} from "../root/RootFixture.sol";

interface IHook {
    function hooked() external;
}

/// @dev Calls the attacker before and after every movement, whoever moves.
contract HookToken is ERC20 {
    IHook private hook;

    constructor() ERC20("Hook", "HOOK") {}

    function aim(IHook to) external {
        hook = to;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        hook.hooked();
        super.transfer(to, amount);
        hook.hooked();
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        hook.hooked();
        super.transferFrom(from, to, amount);
        hook.hooked();
        return true;
    }
}

/// @dev Answers every call that reaches it by the next call of its plan, nested as
/// deep as it gets.
contract Mallory is IIpcHandler, IHook {
    Gateway private immutable GATEWAY;
    address[] private to;
    bytes[] private data;
    uint256[] private value;
    uint256 private next;
    uint256 private refusals; // bit i: refuse the i-th visit
    uint256 private visits;

    constructor(Gateway gateway) {
        GATEWAY = gateway;
    }

    function plan(address to_, uint256 value_, bytes calldata data_) external {
        to.push(to_);
        value.push(value_);
        data.push(data_);
    }

    function arm(uint256 refusals_) external {
        (refusals, visits, next) = (refusals_, 0, 0);
    }

    function disarm() external {
        delete to;
        delete value;
        delete data;
        next = 0;
        refusals = 0;
    }

    function hooked() external {
        _visit();
    }

    function handleIpcMessage(IpcEnvelope calldata) external payable returns (bytes memory) {
        _visit();
        return "";
    }

    receive() external payable {
        _visit();
    }

    function run() external {
        _step();
    }

    function _visit() private {
        _step();
        require(refusals >> (visits++ % 256) & 1 == 0, "no");
    }

    function _step() private {
        if (next >= to.length) return;
        uint256 i = next++;
        (bool ok,) = to[i].call{value: value[i]}(data[i]);
        ok; // its failure is part of the plan
    }
}

/// @dev Whatever an attacker does from within, the gateway holds what it owes, and
/// a message is applied once.
abstract contract Reentry is RootFixture {
    Mallory internal mallory;
    IpcEnvelope internal waiting; // quarantined, for as long as supply is short

    function token() internal view virtual returns (address);
    function holdings() internal view virtual returns (uint256);
    function give(address who, uint256 amount) internal virtual;

    function _owed() internal view returns (uint256) {
        // The collateral of the validators lies there too.
        return circ() + credit(address(mallory)) + (token() == address(0) ? 100 ether : 0);
    }

    function _plan(uint256 seed) private {
        address g = address(gateway);
        bool native = token() == address(0);
        uint256 what = seed % 8;
        uint256 amount = (seed >> 8) % 3 ether + 1 ether;
        SubnetID memory id = subnetId();
        FvmAddress memory me = Fvm.from(address(mallory));
        if (what == 0) {
            if (native) mallory.plan(g, amount, abi.encodeCall(gateway.fund, (id, me)));
            else mallory.plan(g, 0, abi.encodeCall(gateway.fundWithToken, (id, me, amount)));
        } else if (what == 1) {
            IpcEnvelope memory e;
            e.to = there(address(mallory));
            e.value = amount;
            e.message = abi.encode(CallMsg(hex"01020304", ""));
            bytes memory call = abi.encodeCall(gateway.sendContractXnetMessage, (e));
            mallory.plan(g, native ? amount : 0, call);
        } else if (what == 2) {
            mallory.plan(g, 0, abi.encodeCall(gateway.withdrawCredit, (id, address(mallory))));
        } else if (what == 3) {
            mallory.plan(g, 0, abi.encodeCall(gateway.pushCredit, (id, address(mallory))));
        } else if (what == 4) {
            mallory.plan(g, 0, abi.encodeCall(gateway.retryQuarantined, (waiting)));
        } else if (what == 5) {
            Inclusion[] memory list = inclusions(height, 0, batches[height].length);
            mallory.plan(address(actor), 0, abi.encodeCall(actor.execBottomUpMsgBatch, (height, list)));
        } else if (what == 6) {
            mallory.plan(address(actor), 0, abi.encodeCall(actor.claim, ()));
        } else {
            IpcEnvelope memory e;
            e.value = amount;
            mallory.plan(g, 0, abi.encodeCall(gateway.payAndCall, (token(), address(mallory), e)));
        }
    }

    function testFuzz_nothingIsWonFromWithin(uint256 seed) public {
        for (uint256 round = 0; round < 3; round++) {
            seed = uint256(keccak256(abi.encode(seed)));
            for (uint256 i = 0; i < 4; i++) {
                uint256 kind = (seed >> (i * 8)) % 3;
                uint256 amount = (seed >> (i * 16)) % 3 ether + 1;
                if (kind == 0) _push(transferUp(address(mallory), amount));
                else if (kind == 1) _push(callUp(address(mallory), amount));
                else _push(resultUp(address(mallory), amount));
            }
            _submit(0);
            uint256 steps = (seed >> 64) % 6 + 1;
            for (uint256 i = 0; i < steps; i++) {
                _plan(uint256(keccak256(abi.encode(seed, i))));
            }
            mallory.arm(seed >> 128);
            uint256 wealth = _wealth();

            // Whoever starts it: the attacker, someone who pushes a credit of the
            // round before, or an honest carrier.
            if ((seed >> 80) % 3 == 0) mallory.run();
            if ((seed >> 80) % 3 == 1) _pushCredit();
            _execRest();
            mallory.disarm();

            vm.assertEq(holdings(), _owed(), "holds what it owes");
            vm.assertEq(_wealth(), wealth, "value is neither made nor lost");
            (, uint64 applied) = gateway.getAppliedBottomUpNonce(subnetId());
            vm.assertEq(applied, upNonce);
            IGateway.Counters memory c = counters();
            vm.assertEq(c.credited - c.creditsPaid, credit(address(mallory)));
            vm.assertEq(c.unlocked, _applied(), "each message once");
        }
        // All that is owed is paid in the end, and once.
        uint256 rest = credit(address(mallory));
        uint256 before = _wealth() - _owed();
        if (rest != 0) gateway.pushCredit(subnetId(), address(mallory));
        vm.assertEq(_wealth() - _owed(), before + rest);
        vm.assertEq(holdings(), _owed());
    }

    /// @dev All value there is of the supply: outside and inside the gateway.
    function _wealth() internal view virtual returns (uint256);

    /// @dev What all messages carried that are applied, in quarantine no more.
    function _applied() private view returns (uint256 sum) {
        for (uint256 at = PERIOD; at <= height; at += PERIOD) {
            for (uint256 i = 0; i < batches[at].length; i++) {
                IpcEnvelope storage e = batches[at][i];
                if (gateway.quarantinedHash(subnetId(), e.localNonce) == 0) sum += e.value;
            }
        }
    }

    function _execRest() private {
        (, uint64 applied) = gateway.getAppliedBottomUpNonce(subnetId());
        if (applied < upNonce) _exec(height);
    }

    /// @dev Nothing, when it is refused or there is none.
    function _pushCredit() private {
        (bool ok,) = address(gateway).call(abi.encodeCall(gateway.pushCredit, (subnetId(), address(mallory))));
        ok;
    }
}

contract HookedSupplyReentryTest is Reentry {
    HookToken private hook;

    function setUp() public override {
        super.setUp();
        hook = new HookToken();
        mallory = new Mallory(gateway);
        hook.aim(mallory);
        actor = new SubnetActor(_params(PermissionMode.Collateral, address(hook), address(0)), address(this));
        (upNonce, height) = (0, 0);
        gateway.approveSubnet(address(actor));
        _joinAll();
        _record();
        _begin();
    }

    function _begin() private {
        give(alice, 1000 ether);
        vm.prank(alice);
        hook.approve(address(gateway), type(uint256).max);
        give(address(mallory), 100 ether);
        vm.prank(address(mallory));
        hook.approve(address(gateway), type(uint256).max);
        _fund(bob, 5 ether);
        waiting = transferUp(address(mallory), 6 ether);
        _deliver(waiting);
        _fund(bob, 45 ether);
    }

    function token() internal view override returns (address) {
        return address(hook);
    }

    function holdings() internal view override returns (uint256) {
        return hook.balanceOf(address(gateway));
    }

    function give(address who, uint256 amount) internal override {
        hook.mint(who, amount);
    }

    function _wealth() internal view override returns (uint256) {
        return hook.balanceOf(address(mallory)) + _owed();
    }
}

contract NativeReentryTest is Reentry {
    function setUp() public override {
        super.setUp();
        gateway = new Gateway(rootId(), MESSAGE_GAS, FUND_MIN, FUND_MAX, MAX_SILENCE, RECOVERY_DELAY);
        mallory = new Mallory(gateway);
        (upNonce, height) = (0, 0);
        _start(_params(PermissionMode.Collateral, address(0), address(0)));
        vm.deal(alice, 1000 ether);
        vm.deal(address(mallory), 100 ether);
        vm.prank(alice);
        gateway.fund{value: 5 ether}(subnetId(), Fvm.from(bob));
        waiting = transferUp(address(mallory), 6 ether);
        _deliver(waiting);
        vm.prank(alice);
        gateway.fund{value: 45 ether}(subnetId(), Fvm.from(bob));
    }

    function token() internal pure override returns (address) {
        return address(0);
    }

    function holdings() internal view override returns (uint256) {
        return address(gateway).balance;
    }

    function give(address who, uint256 amount) internal override {
        vm.deal(who, who.balance + amount);
    }

    function _wealth() internal view override returns (uint256) {
        return address(mallory).balance + _owed();
    }
}
