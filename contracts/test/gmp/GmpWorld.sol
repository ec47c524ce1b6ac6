// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {GmpPort, GmpPortParams} from "../../src/gmp/GmpPort.sol";
import {GmpRouter, GmpRouterParams} from "../../src/gmp/GmpRouter.sol";
import {GmpSubnetPort, GmpSubnetPortParams} from "../../src/gmp/GmpSubnetPort.sol";
import {GmpMessages} from "../../src/gmp/GmpMessages.sol";
import {IAxelarExecutable, IAxelarGateway} from "../../src/interfaces/IAxelar.sol";
import {GmpCall, IGmpEnd, IGmpRouter} from "../../src/interfaces/IGmp.sol";
import {AxelarGateways, IPausable} from "../AxelarGateways.sol";
import {Vm} from "../Base.sol";
import {TwoChains} from "../e2e/TwoChains.sol";
import {Does, Subject} from "./Subject.sol";

/// @dev Ethereum beside the two chains, with Axelar's published gateways on it and
/// on the root, and both ports and the router between contracts that call each
/// other. Chains differ by their id, which `toL1` and `toRoot` switch; the subnet
/// has the root's.
abstract contract GmpWorld is TwoChains, AxelarGateways {
    address internal constant GMP_AT = address(uint160(0x0077aa40b105843728088c0132e43fc44348881d04));
    uint256 internal constant L1_ID = 900_001;
    string internal constant L1_NAME = "Ethereum";
    string internal constant ROOT_NAME = "filecoin";
    bytes32 internal constant CONTRACT_CALL = keccak256("ContractCall(address,string,string,bytes32,bytes)");
    uint64 internal constant SUBNET_MAX = 300_000; // gas of a target there
    uint64 internal constant L1_MAX = 500_000;
    uint64 internal constant TELL_GAS = 200_000;
    uint256 internal constant PATIENCE = 2 hours;

    /// @dev A message between the gateways of Axelar.
    struct Hop {
        bool toRoot;
        Approval a;
        bytes payload;
        bool executed;
    }

    /// @dev What the events of ours said of an id.
    struct Heard {
        uint256 executions;
        bool executedOk;
        bytes executedRet;
        uint256 results;
        bool ok;
        bool taken;
        bytes ret;
        IGmpRouter.Leg leg; // of what was kept last
        bytes message;
        bytes detail;
    }

    Site internal l1;
    Site internal root;
    address internal gasService;
    Hop[] internal hops;
    uint256 private issued;
    uint256 internal relayed;
    mapping(bytes32 id => Heard) internal heard;
    uint256 internal rootChainId;

    GmpPort internal port;
    GmpRouter internal router;
    GmpSubnetPort internal far = GmpSubnetPort(GMP_AT);
    /// @dev One on either side, to call and to be called.
    Subject internal here; // on Ethereum
    Subject internal there; // in the subnet

    /// @dev Which make the gateways are.
    function legacy() internal pure virtual returns (bool) {
        return false;
    }

    function setUp() public virtual override {
        rootChainId = block.chainid;
        super.setUp();
        makeApprovers();
        l1 = buildSite(Site(L1_NAME, L1_ID, legacy(), 0, address(0)));
        root = buildSite(Site(ROOT_NAME, rootChainId, legacy(), 0, address(0)));
        gasService = buildGasService();
        address at = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        port = new GmpPort(portParams(at));
        router = new GmpRouter(routerParams());
        vm.assertEq(address(router), at);
        place(GMP_AT, abi.encodePacked(type(GmpSubnetPort).creationCode, abi.encode(subnetPortParams())));
        here = new Subject();
        there = new Subject();
        carryUp(); // over the epochs before
    }

    function portParams(address router_) internal view returns (GmpPortParams memory) {
        return GmpPortParams({
            axelarGateway: l1.gateway,
            gasService: gasService,
            rootChain: ROOT_NAME,
            router: router_,
            subnetChainId: rootChainId,
            subnetPort: GMP_AT,
            maxGas: SUBNET_MAX,
            callbackGas: TELL_GAS
        });
    }

    function routerParams() internal view returns (GmpRouterParams memory) {
        return GmpRouterParams({
            axelarGateway: root.gateway,
            l1Chain: L1_NAME,
            l1ChainId: L1_ID,
            l1Port: address(port),
            gateway: address(gateway),
            subnet: subnetId(),
            subnetChainId: rootChainId,
            subnetPort: GMP_AT,
            patience: PATIENCE
        });
    }

    function subnetPortParams() internal view returns (GmpSubnetPortParams memory) {
        return GmpSubnetPortParams({
            gateway: GATEWAY_AT,
            rootNetwork: rootId(),
            router: address(router),
            l1ChainId: L1_ID,
            l1Port: address(port),
            maxGas: L1_MAX,
            callbackGas: TELL_GAS
        });
    }

    function toL1() internal {
        vm.chainId(L1_ID);
    }

    function toRoot() internal {
        vm.chainId(rootChainId);
    }

    // ---- the relayer

    function file(Vm.Log memory log) internal virtual override {
        bytes32 topic = log.topics[0];
        if (topic == CONTRACT_CALL) _fileCall(log);
        bool ours = log.emitter == address(port) || log.emitter == GMP_AT || log.emitter == address(router);
        if (!ours || log.topics.length < 2) return;
        Heard storage h = heard[log.topics[1]];
        if (topic == IGmpEnd.CallExecuted.selector) {
            ++h.executions;
            (h.executedOk, h.executedRet) = abi.decode(log.data, (bool, bytes));
        }
        if (topic == IGmpEnd.ResultReceived.selector) {
            ++h.results;
            (h.ok, h.taken, h.ret) = abi.decode(log.data, (bool, bool, bytes));
        }
        if (topic == IGmpRouter.Kept.selector) {
            h.leg = IGmpRouter.Leg(uint256(log.topics[2]));
            (h.message, h.detail) = abi.decode(log.data, (bytes, bytes));
        }
    }

    function _fileCall(Vm.Log memory log) private {
        bool fromL1 = log.emitter == l1.gateway;
        require(fromL1 || log.emitter == root.gateway, "of another gateway");
        (string memory chain, string memory to, bytes memory payload) =
            abi.decode(log.data, (string, string, bytes));
        (, address account) = Strings.tryParseAddress(to);
        string memory name = fromL1 ? ROOT_NAME : L1_NAME;
        require(keccak256(bytes(chain)) == keccak256(bytes(name)), "to another chain");
        issue(fromL1, address(uint160(uint256(log.topics[1]))), account, payload);
    }

    /// @dev What is said to have been sent, true or not. Axelar writes addresses
    /// with a checksum or without.
    function issue(bool toRoot_, address from, address to, bytes memory payload)
        internal
        returns (uint256 index)
    {
        index = hops.length;
        Hop storage hop = hops.push();
        (hop.toRoot, hop.payload) = (toRoot_, payload);
        hop.a = Approval({
            sourceChain: toRoot_ ? L1_NAME : ROOT_NAME,
            messageId: string.concat(vm.toString(abi.encodePacked(keccak256(abi.encode(issued++)))), "-0"),
            sourceAddress: issued % 2 == 0 ? Strings.toHexString(from) : Strings.toChecksumHexString(from),
            to: to,
            payloadHash: keccak256(payload)
        });
    }

    function siteOf(uint256 i) internal view returns (Site memory) {
        return hops[i].toRoot ? root : l1;
    }

    function approveHop(uint256 i) internal {
        vm.chainId(siteOf(i).chainId);
        approveAt(siteOf(i), hops[i].a, two());
        toRoot();
    }

    function isPending(uint256 i) internal view returns (bool) {
        return isApproved(siteOf(i), hops[i].a);
    }

    function executeCall(uint256 i, bytes memory payload) internal view returns (bytes memory) {
        Approval memory a = hops[i].a;
        return abi.encodeCall(
            IAxelarExecutable.execute, (commandIdOf(siteOf(i), a), a.sourceChain, a.sourceAddress, payload)
        );
    }

    /// @dev Answers what the contract does, so that a test may look at it.
    function tryExecute(uint256 i, bytes memory payload, uint256 gas_)
        internal
        returns (bool ok, bytes memory ret)
    {
        bytes memory call_ = executeCall(i, payload);
        vm.chainId(siteOf(i).chainId);
        vm.prank(relayer);
        (ok, ret) = hops[i].a.to.call{gas: gas_}(call_);
        toRoot();
        if (ok) hops[i].executed = true;
    }

    function execute(uint256 i) internal {
        (bool ok, bytes memory ret) = tryExecute(i, hops[i].payload, 20_000_000);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(ret, 0x20), mload(ret))
        }
    }

    function executeFails(uint256 i, bytes memory payload, bytes memory expected) internal {
        (bool ok, bytes memory ret) = tryExecute(i, payload, 20_000_000);
        vm.assertFalse(ok, "executed");
        vm.assertEq(ret, expected);
    }

    function executeFails(uint256 i, bytes memory expected) internal {
        executeFails(i, hops[i].payload, expected);
    }

    /// @dev Approves what is on its way and does not execute it; answers the newest.
    function approveAll() internal returns (uint256 last) {
        collect();
        for (; relayed < hops.length; ++relayed) {
            approveHop(relayed);
        }
        return hops.length - 1;
    }

    /// @dev Approves and executes all that is on its way.
    function relay() internal {
        for (collect(); relayed < hops.length; collect()) {
            approveHop(relayed);
            execute(relayed++);
        }
    }

    /// @dev A call made on Ethereum and what it brings, all the way.
    function carryDownAndBack() internal {
        relay();
        carryDown();
        carryUp();
        relay();
    }

    /// @dev Likewise in the subnet.
    function carryUpAndBack() internal {
        carryUp();
        relay();
        carryDown();
        collect();
    }

    function stage(bytes32 id, IGmpRouter.Leg leg, IGmpRouter.Stage stage_) internal view {
        (IGmpRouter.Leg leg_, IGmpRouter.Stage is_,) = router.stageOf(id);
        vm.assertEq(uint256(leg_), uint256(leg), "leg");
        vm.assertEq(uint256(is_), uint256(stage_), "stage");
    }

    // ---- those who call

    function callDown(address from, address to, bytes memory data, uint64 gas_)
        internal
        returns (bytes32 id, GmpCall memory c)
    {
        c = GmpCall(port.nonce(), from, to, gas_ == 0 ? SUBNET_MAX : gas_, data);
        toL1();
        vm.prank(from);
        id = port.call(to, data, gas_);
        toRoot();
    }

    function callUp(address from, address to, bytes memory data, uint64 gas_)
        internal
        returns (bytes32 id, GmpCall memory c)
    {
        c = GmpCall(far.nonce(), from, to, gas_ == 0 ? L1_MAX : gas_, data);
        vm.deal(from, from.balance + FEE);
        vm.prank(from);
        id = far.call{value: FEE}(to, data, gas_);
    }

    function doing(Does does, bytes memory rest) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(does), rest);
    }

    // ---- the weather

    /// @dev Nothing leaves the root for Ethereum. Only the newer gateway can be
    /// paused.
    function pauseRoot() internal {
        if (!legacy()) {
            IPausable(root.gateway).setPauseStatus(true);
        } else {
            vm.mockCallRevert(
                root.gateway, abi.encodeWithSelector(IAxelarGateway.callContract.selector), "down"
            );
        }
    }

    function resumeRoot() internal {
        if (!legacy()) IPausable(root.gateway).setPauseStatus(false);
        else vm.clearMockedCalls();
    }

    function pauseReason() internal pure returns (bytes memory) {
        return legacy() ? bytes("down") : abi.encodeWithSelector(bytes4(keccak256("Pause()")));
    }

    /// @dev The gateway takes nothing for the subnet until its next checkpoint.
    function fallSilent() internal {
        vm.warp(block.timestamp + 1 hours + 1);
    }

    /// @dev Nobody has left anything with us.
    function emptyHanded() internal view {
        address[3] memory ours = [address(port), address(router), GMP_AT];
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(ours[i].balance, 0);
            vm.assertEq(flt.balanceOf(ours[i]) + usdc.balanceOf(ours[i]) + replica.balanceOf(ours[i]), 0);
        }
    }
}
