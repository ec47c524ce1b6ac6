// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DevFlt} from "../../src/dev/DevFlt.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import "../../src/ipc/Types.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {Base, Vm} from "../Base.sol";
import {Tree} from "./Tree.sol";

/// @dev A gateway with one subnet of four validators (10, 20, 30, 40 ether), its
/// bootstrap recorded, and a hand that signs checkpoints and proves messages.
abstract contract RootFixture is Base {
    uint256 internal constant MESSAGE_GAS = 1_000_000;
    uint256 internal constant FUND_MIN = 1000;
    uint256 internal constant FUND_MAX = 1_000_000 ether;
    uint256 internal constant MAX_SILENCE = 1 hours;
    uint256 internal constant RECOVERY_DELAY = 1 days;
    uint64 internal constant PERIOD = 10;

    DevFlt internal flt;
    Gateway internal gateway;
    SubnetActor internal actor;
    uint256[] internal keys; // by address, ascending
    mapping(address account => uint256) internal weightOf;
    mapping(uint256 height => IpcEnvelope[]) internal batches;
    uint64 internal upNonce;
    uint256 internal height;

    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal anyone = makeAddr("anyone");

    function setUp() public virtual {
        vm.roll(1000);
        vm.warp(1_800_000_000);
        flt = new DevFlt(address(this));
        gateway = new Gateway(rootId(), MESSAGE_GAS, FUND_MIN, FUND_MAX, MAX_SILENCE, RECOVERY_DELAY);
        _makeKeys();
        _start(_params(PermissionMode.Collateral, address(flt), address(0)));
        flt.mint(alice, 1_000_000 ether);
        vm.prank(alice);
        flt.approve(address(gateway), type(uint256).max);
    }

    function rootId() internal view returns (SubnetID memory id) {
        id.root = uint64(block.chainid);
    }

    function subnetId() internal view returns (SubnetID memory id) {
        return idOf(address(actor));
    }

    function idOf(address subnet) internal view returns (SubnetID memory id) {
        id.root = uint64(block.chainid);
        id.route = new address[](1);
        id.route[0] = subnet;
    }

    function _params(PermissionMode mode, address supply, address collateral)
        internal
        view
        returns (SubnetParams memory p)
    {
        p.minActivationCollateral = 100 ether;
        p.minValidators = 4;
        p.bottomUpCheckPeriod = PERIOD;
        p.ipcGatewayAddr = address(gateway);
        p.activeValidatorsLimit = 100;
        p.majorityPercentage = 67;
        p.powerScale = 3;
        p.permissionMode = mode;
        p.supplySource = asset(supply);
        p.collateralSource = asset(collateral);
        p.parentId = rootId();
        p.genesisSubnetIpcContractsOwner = address(this);
    }

    function asset(address token) internal pure returns (Asset memory) {
        return Asset({kind: token == address(0) ? AssetKind.Native : AssetKind.ERC20, tokenAddress: token});
    }

    function _makeKeys() internal {
        for (uint256 i = 0; i < 4; i++) {
            (address account, uint256 key) = makeAddrAndKey(string.concat("validator ", vm.toString(i)));
            weightOf[account] = (i + 1) * 10 ether;
            keys.push(key);
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); j--) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
    }

    /// @dev A running collateral subnet.
    function _start(SubnetParams memory p) internal {
        actor = new SubnetActor(p, address(this));
        gateway.approveSubnet(address(actor));
        _joinAll();
        _record();
    }

    function _joinAll() internal {
        for (uint256 i = 0; i < keys.length; i++) {
            _join(keys[i], weightOf[vm.addr(keys[i])]);
        }
    }

    function _join(uint256 key, uint256 amount) internal {
        address account = vm.addr(key);
        bytes memory pub = publicKey(key);
        address token = actor.collateralSource().tokenAddress;
        if (token == address(0)) {
            vm.deal(account, account.balance + amount);
            vm.prank(account);
            actor.join{value: amount}(pub, amount);
            return;
        }
        DevFlt(token).mint(account, amount);
        vm.startPrank(account);
        DevFlt(token).approve(address(actor), amount);
        actor.join(pub, amount);
        vm.stopPrank();
    }

    function _record() internal {
        vm.roll(block.number + 1);
        actor.recordBootstrap();
    }

    // ---- messages going up

    function here(address account) internal view returns (IPCAddress memory) {
        return IPCAddress({subnetId: rootId(), rawAddress: Fvm.from(account)});
    }

    function there(address account) internal view returns (IPCAddress memory) {
        return IPCAddress({subnetId: subnetId(), rawAddress: Fvm.from(account)});
    }

    function _up(IpcMsgKind kind, address from, address to, uint256 value, bytes memory message)
        internal
        returns (IpcEnvelope memory e)
    {
        e = IpcEnvelope({
            kind: kind,
            localNonce: upNonce,
            originalNonce: upNonce,
            value: value,
            to: here(to),
            from: there(from),
            message: message
        });
        upNonce++;
    }

    function transferUp(address to, uint256 value) internal returns (IpcEnvelope memory) {
        return _up(IpcMsgKind.Transfer, alice, to, value, "");
    }

    function callUp(address to, uint256 value) internal returns (IpcEnvelope memory) {
        bytes memory message = abi.encode(CallMsg({method: hex"12345678", params: abi.encode(value)}));
        return _up(IpcMsgKind.Call, alice, to, value, message);
    }

    function resultUp(address to, uint256 value) internal returns (IpcEnvelope memory) {
        bytes memory message = abi.encode(
            ResultMsg({
                id: keccak256("some message"),
                outcome: value == 0 ? OutcomeType.Ok : OutcomeType.ActorErr,
                ret: hex"01"
            })
        );
        return _up(IpcMsgKind.Result, alice, to, value, message);
    }

    // ---- checkpoints

    function _push(IpcEnvelope memory e) internal {
        batches[height + PERIOD].push(e);
    }

    function _leaves(uint256 at) internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](batches[at].length);
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = Envelopes.leaf(batches[at][i]);
        }
    }

    function checkpointAt(uint256 at, uint64 configuration)
        internal
        view
        returns (BottomUpCheckpoint memory c)
    {
        c.subnetID = subnetId();
        c.blockHeight = at;
        c.blockHash = keccak256(abi.encode("block", at));
        c.nextConfigurationNumber = configuration;
        c.msgs.totalNumMsgs = uint64(batches[at].length);
        c.msgs.msgsRoot = Tree.root(Tree.build(_leaves(at)));
        c.activity.consensus.stats = AggregatedStats(4, PERIOD);
        c.activity.consensus.dataRootCommitment = keccak256("activity");
    }

    /// @dev All of `keys` sign.
    function signedBy(uint256[] memory signers, bytes32 digest)
        internal
        pure
        returns (address[] memory accounts, bytes[] memory signatures)
    {
        accounts = new address[](signers.length);
        signatures = new bytes[](signers.length);
        for (uint256 i = 0; i < signers.length; i++) {
            accounts[i] = vm.addr(signers[i]);
            signatures[i] = signature(signers[i], digest);
        }
    }

    function _submit(uint64 configuration) internal {
        BottomUpCheckpoint memory c = checkpointAt(height + PERIOD, configuration);
        (address[] memory accounts, bytes[] memory signatures) = signedBy(keys, Envelopes.checkpointHash(c));
        actor.submitCheckpoint(c, accounts, signatures);
        height += PERIOD;
    }

    function inclusions(uint256 at, uint256 from, uint256 to)
        internal
        view
        returns (Inclusion[] memory list)
    {
        bytes32[] memory tree = Tree.build(_leaves(at));
        list = new Inclusion[](to - from);
        for (uint256 i = from; i < to; i++) {
            list[i - from].msg = batches[at][i];
            list[i - from].proof = Tree.proof(tree, Envelopes.leaf(batches[at][i]));
        }
    }

    function _exec(uint256 at) internal {
        actor.execBottomUpMsgBatch(at, inclusions(at, 0, batches[at].length));
    }

    /// @dev One message, committed and executed.
    function _deliver(IpcEnvelope memory e) internal {
        _push(e);
        _submit(0);
        _exec(height);
    }

    // ---- money

    function _fund(address to, uint256 amount) internal {
        vm.prank(alice);
        gateway.fundWithToken(subnetId(), Fvm.from(to), amount);
    }

    function circ() internal view returns (uint256) {
        (, Subnet memory s) = gateway.getSubnet(subnetId());
        return s.circSupply;
    }

    function counters() internal view returns (IGateway.Counters memory) {
        return gateway.getCounters(subnetId());
    }

    function credit(address account) internal view returns (uint256) {
        return gateway.creditOf(subnetId(), account);
    }
}
