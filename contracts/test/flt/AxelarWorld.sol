// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DevFlt} from "../../src/dev/DevFlt.sol";
import {FltHandler, FltHandlerParams} from "../../src/flt/FltHandler.sol";
import {FltPortal, FltPortalParams} from "../../src/flt/FltPortal.sol";
import {FltSender, FltSenderParams} from "../../src/flt/FltSender.sol";
import {FltDeposit, FltWithdrawal, IFltHandler} from "../../src/interfaces/IFlt.sol";
import "../../src/ipc/Types.sol";
import {Vm} from "../Base.sol";
import {TwoChains} from "../e2e/TwoChains.sol";
import {Axelar} from "./Axelar.sol";

/// @dev Ethereum beside the two chains: Axelar's published contracts on it and on
/// the root, a hub that wraps messages again, approvers who sign, and a relayer
/// who executes; ours in between. FLT of the root is the interchain token. Chains
/// differ by their id, which `toL1` and `toRoot` switch; the subnet has the root's.
abstract contract AxelarWorld is TwoChains, Axelar {
    address internal constant PORTAL_AT = address(uint160(0x0077aa40b105843728088c0132e43fc44348881d03));
    uint256 internal constant L1_ID = 900_001;
    uint256 internal constant FLT_MIN = 0.1 ether;
    string internal constant L1_NAME = "Ethereum";
    string internal constant ROOT_NAME = "filecoin";
    bytes32 internal constant CONTRACT_CALL = keccak256("ContractCall(address,string,string,bytes32,bytes)");

    /// @dev A message on its way out of the hub.
    struct Hop {
        bool toRoot;
        string messageId;
        bytes payload;
        uint256 amount; // of a transfer
        bool executed;
    }

    Stack internal l1;
    Stack internal root;
    DevFlt internal l1Flt;
    bytes32 internal tokenId;
    Hop[] internal hops;
    uint256 private relayed;
    /// @dev What the hub believes to be on the root.
    uint256 private hubSupply;

    FltSender internal sender;
    FltHandler internal handler;
    FltPortal internal portal = FltPortal(PORTAL_AT);
    uint256 private rootChainId;

    /// @dev What the handler said of a credit when it kept it last.
    struct Kept {
        IFltHandler.Reason reason;
        uint256 amount;
        bytes detail;
    }

    mapping(bytes32 id => Kept) internal kept;

    /// @dev Which Axelar it is.
    function legacy() internal pure virtual returns (bool) {
        return false;
    }

    function old() internal pure virtual returns (bool) {
        return false;
    }

    function setUp() public virtual override {
        rootChainId = block.chainid;
        super.setUp();
        address at = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        sender = new FltSender(senderParams(at));
        handler = new FltHandler(handlerParams());
        vm.assertEq(address(handler), at);
        place(PORTAL_AT, abi.encodePacked(type(FltPortal).creationCode, abi.encode(portalParams())));
    }

    function senderParams(address handler_) internal view returns (FltSenderParams memory) {
        return FltSenderParams({
            its: address(l1.its),
            tokenId: tokenId,
            rootChain: ROOT_NAME,
            handler: handler_,
            subnet: subnetId(),
            min: FLT_MIN,
            max: FLT_MAX
        });
    }

    function handlerParams() internal view returns (FltHandlerParams memory) {
        return FltHandlerParams({
            its: address(root.its),
            tokenId: tokenId,
            l1Chain: L1_NAME,
            l1ChainId: L1_ID,
            fltSender: address(sender),
            gateway: address(gateway),
            subnet: subnetId(),
            portal: PORTAL_AT
        });
    }

    function portalParams() internal view returns (FltPortalParams memory) {
        return FltPortalParams({
            gateway: GATEWAY_AT,
            subnet: subnetId(),
            rootNetwork: rootId(),
            rootChainId: rootChainId,
            rootGateway: address(gateway),
            rootFlt: address(flt),
            handler: address(handler),
            l1Flt: address(l1Flt),
            l1Sender: address(sender),
            min: FLT_MIN,
            max: FLT_MAX
        });
    }

    function toL1() internal {
        vm.chainId(L1_ID);
    }

    function toRoot() internal {
        vm.chainId(rootChainId);
    }

    /// @dev The interchain token, deployed by a message of its own.
    function makeFlt() internal override returns (DevFlt) {
        makeApprovers();
        Stack memory s;
        (s.legacy, s.old) = (legacy(), old());
        (s.name, s.chainId) = (L1_NAME, L1_ID);
        l1 = buildStack(s, ROOT_NAME);
        (s.name, s.chainId) = (ROOT_NAME, rootChainId);
        root = buildStack(s, L1_NAME);

        l1Flt = new DevFlt(address(this));
        tokenId = l1.factory.registerCanonicalInterchainToken(address(l1Flt));
        l1.factory.deployRemoteCanonicalInterchainToken(address(l1Flt), ROOT_NAME, 0);
        relay();
        return DevFlt(root.its.registeredTokenAddress(tokenId));
    }

    /// @dev There is none on the root but what comes from Ethereum.
    function giveFlt(address to, uint256 amount) internal override {
        l1Flt.mint(address(this), amount);
        l1Flt.approve(address(l1.its), amount);
        l1.its.interchainTransfer(tokenId, ROOT_NAME, abi.encodePacked(to), amount, "", 0);
        relay();
    }

    // ---- the hub and the relayer

    /// @dev A call of either service to the hub, wrapped anew for the other chain.
    function file(Vm.Log memory log) internal override {
        if (log.emitter == address(handler) && log.topics[0] == IFltHandler.Credited.selector) {
            (uint256 amount, bytes memory detail) = abi.decode(log.data, (uint256, bytes));
            kept[log.topics[1]] = Kept(IFltHandler.Reason(uint256(log.topics[2])), amount, detail);
        }
        bool fromL1 = log.emitter == l1.gateway;
        if (log.topics[0] != CONTRACT_CALL || (!fromL1 && log.emitter != root.gateway)) return;
        (string memory chain, string memory to, bytes memory payload) =
            abi.decode(log.data, (string, string, bytes));
        require(keccak256(bytes(chain)) == keccak256(bytes(HUB_CHAIN)), "not to the hub's chain");
        require(keccak256(bytes(to)) == keccak256(bytes(HUB)), "not to the hub");
        address its = fromL1 ? address(l1.its) : address(root.its);
        require(address(uint160(uint256(log.topics[1]))) == its, "not of the service");
        (uint256 kind, string memory destination, bytes memory inner) =
            abi.decode(payload, (uint256, string, bytes));
        require(kind == 3, "not to be sent on");
        string memory peer = fromL1 ? ROOT_NAME : L1_NAME;
        require(keccak256(bytes(destination)) == keccak256(bytes(peer)), "not to the other chain");
        issue(fromL1, inner);
    }

    /// @dev What the hub says, true or not.
    function issue(bool toRoot_, bytes memory inner) internal returns (uint256 index) {
        index = hops.length;
        Hop storage hop = hops.push();
        hop.toRoot = toRoot_;
        hop.messageId =
            string.concat(vm.toString(abi.encodePacked(keccak256(abi.encode("hub", index)))), "-0");
        hop.payload = abi.encode(uint256(4), toRoot_ ? L1_NAME : ROOT_NAME, inner);
        if (abi.decode(inner, (uint256)) != 0) return index;
        (,,,, hop.amount,) = abi.decode(inner, (uint256, bytes32, bytes, bytes, uint256, bytes));
        if (toRoot_) {
            hubSupply += hop.amount;
        } else {
            require(hubSupply >= hop.amount, "TokenSupplyInvariantViolated");
            hubSupply -= hop.amount;
        }
    }

    /// @dev A message to the root that moves FLT, as nobody on Ethereum sent it; the
    /// tokens are locked there all the same.
    function forge(address from, bytes memory to, uint256 amount, bytes memory data)
        internal
        returns (uint256 index)
    {
        l1Flt.mint(l1.its.tokenManagerAddress(tokenId), amount);
        return issue(true, abi.encode(uint256(0), tokenId, abi.encodePacked(from), to, amount, data));
    }

    function stackOf(uint256 i) internal view returns (Stack memory) {
        return hops[i].toRoot ? root : l1;
    }

    function approveHop(uint256 i) internal {
        vm.chainId(stackOf(i).chainId);
        approve(stackOf(i), hops[i].messageId, keccak256(hops[i].payload), two());
        toRoot();
    }

    function isPendingHop(uint256 i) internal view returns (bool) {
        return isPending(stackOf(i), hops[i].messageId, keccak256(hops[i].payload));
    }

    /// @dev Answers what the service does, so that a test may look at it.
    function tryExecute(uint256 i, bytes memory payload, uint256 gas_)
        internal
        returns (bool ok, bytes memory ret)
    {
        Stack memory s = stackOf(i);
        bytes32 commandId = commandIdOf(s, hops[i].messageId);
        bytes memory call_ = abi.encodeCall(s.its.execute, (commandId, HUB_CHAIN, HUB, payload));
        vm.chainId(s.chainId);
        vm.prank(relayer);
        (ok, ret) = address(s.its).call{gas: gas_}(call_);
        toRoot();
        if (ok) hops[i].executed = true;
    }

    function execute(uint256 i) internal {
        (bool ok, bytes memory ret) = tryExecute(i, hops[i].payload, 30_000_000);
        if (ok) return;
        assembly ("memory-safe") {
            revert(add(ret, 0x20), mload(ret))
        }
    }

    function executeFails(uint256 i, bytes memory expected) internal {
        executeFails(i, hops[i].payload, expected);
    }

    function executeFails(uint256 i, bytes memory payload, bytes memory expected) internal {
        (bool ok, bytes memory ret) = tryExecute(i, payload, 30_000_000);
        vm.assertFalse(ok, "executed");
        vm.assertEq(ret, expected);
    }

    /// @dev Approves and executes all that is on its way.
    function relay() internal {
        collect();
        for (; relayed < hops.length; ++relayed) {
            approveHop(relayed);
            execute(relayed);
        }
        collect();
    }

    /// @dev Approves only; answers the newest.
    function relayNone() internal returns (uint256 last) {
        collect();
        for (; relayed < hops.length; ++relayed) {
            approveHop(relayed);
        }
        return hops.length - 1;
    }

    // ---- users

    function deposit(address from, address to, uint256 amount)
        internal
        returns (FltDeposit memory d, bytes32 id)
    {
        l1Flt.mint(from, amount);
        toL1();
        vm.startPrank(from);
        l1Flt.approve(address(sender), amount);
        id = sender.deposit(to, amount);
        vm.stopPrank();
        toRoot();
        d = FltDeposit({
            sender: from,
            recipient: to,
            subnetKey: keccak256(abi.encode(subnetId())),
            nonce: sender.nonce() - 1,
            amount: amount
        });
    }

    /// @dev From Ethereum into the subnet, all the way.
    function fill(address to, uint256 amount) internal {
        deposit(alice, to, amount);
        relay();
        carryDown();
    }

    function leave(address from, address to, address refundTo, uint256 amount)
        internal
        returns (FltWithdrawal memory w, bytes32 id)
    {
        vm.prank(from);
        if (refundTo == address(0)) id = portal.withdrawToL1{value: amount + FEE}(to);
        else id = portal.withdrawToL1WithRefund{value: amount + FEE}(to, refundTo);
        w = FltWithdrawal({
            subnetKey: keccak256(abi.encode(subnetId())),
            portal: PORTAL_AT,
            nonce: portal.nonce() - 1,
            sender: from,
            recipient: to,
            refundTo: refundTo,
            amount: amount
        });
    }

    // ---- operators of Axelar

    function setTrust(Stack memory s, string memory chain, bool yes) internal {
        if (s.old && yes) s.its.setTrustedAddress(chain, "hub");
        else if (s.old) s.its.removeTrustedAddress(chain);
        else if (yes) s.its.setTrustedChain(chain);
        else s.its.removeTrustedChain(chain);
    }

    function setFlowLimit(Stack memory s, uint256 limit) internal {
        bytes32[] memory ids = new bytes32[](1);
        uint256[] memory limits = new uint256[](1);
        (ids[0], limits[0]) = (tokenId, limit);
        s.its.setFlowLimits(ids, limits);
    }

    // ---- the books

    function creditOf(bytes32 id) internal view returns (uint256 amount) {
        (amount,) = handler.creditOf(id);
    }

    /// @dev Nothing is made or lost on the way, to the unit.
    function conserved() internal {
        collect();
        uint256 underWay;
        for (uint256 i = 0; i < hops.length; ++i) {
            if (!hops[i].executed) underWay += hops[i].amount;
        }
        uint256 locked = l1Flt.balanceOf(l1.its.tokenManagerAddress(tokenId));
        vm.assertEq(locked, flt.totalSupply() + underWay, "locked = supply + under way");
        vm.assertEq(l1Flt.balanceOf(address(sender)), 0, "the sender holds nothing");

        IFltHandler.Counters memory c = handler.getCounters();
        uint256 owed = c.credited - c.spent;
        uint256 deposits = c.deposited + c.undelivered - c.funded - c.sentBack - c.depositsClaimed;
        uint256 withdrawals = c.withdrawn - c.sentOn - c.withdrawalsClaimed;
        vm.assertEq(owed, deposits + withdrawals + c.quarantined, "credits by direction");
        vm.assertGe(flt.balanceOf(address(handler)), owed, "credits <= balance");
        vm.assertEq(PORTAL_AT.balance, portal.heldFlt(), "held by the portal");

        // Both sides of IPC agree where nothing is on its way between them.
        (, uint64 sentDown) = gateway.getTopDownNonce(subnetId());
        (, uint64 cameUp) = gateway.getAppliedBottomUpNonce(subnetId());
        if (subnet.appliedTopDownNonce() == sentDown && subnet.bottomUpNonce() == cameUp) books();
    }
}
