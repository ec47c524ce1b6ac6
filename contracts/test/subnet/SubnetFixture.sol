// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Base, Vm} from "../Base.sol";
import "../../src/ipc/Types.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {SubnetGateway} from "../../src/subnet/SubnetGateway.sol";

/// @dev A subnet gateway at its genesis address, four validators, and a model of
/// the root's queues.
abstract contract SubnetFixture is Base {
    address payable internal constant AT = payable(0x77Aa40B105843728088c0132e43FC44348881DA8);
    // Of the golden vectors.
    uint64 internal constant ROOT = 314159;
    address internal constant ACTOR = 0x2a3eF0F414c626e51AFA2F29f3F7Be7a45C6DB09;
    address internal constant ROOT_GATEWAY = 0x6A7E0000000000000000000000000000000000A7;
    address internal constant ALICE = 0x6B505cdCCCA34aE8eea5D382aBaD40d2AfEa74ad;
    uint256 internal constant TREASURY = 2 ** 100;
    uint256 internal constant PREFUND = 1000 ether;
    uint256 internal constant FEE = 0.01 ether;
    uint256 internal constant REWARD = 0.001 ether;
    uint256 internal constant GAS = 500_000;
    uint64 internal constant PERIOD = 10;
    bytes32 internal constant SALT = keccak256("salt");
    uint64 internal constant ASKED = 1 << 63;
    address internal constant RELAYER = address(0xBEEF0001);
    address internal constant BOB = address(0xB0B00002);
    /// @dev A contract on the root.
    address internal constant REMOTE = address(0xDADA0003);

    SubnetGateway internal gateway;

    uint256[] internal keys; // ascending by address
    bytes32[] internal topHashes; // R_0, R_1, ...
    bytes32[] internal topLeaves; // of message i
    bytes32[] internal powerHashes; // P_0, P_1, ...
    bytes32[] internal powerLeaves;

    function setUp() public virtual {
        _keys(_validators());
        gateway = _place(_genesis());
        vm.deal(AT, TREASURY);
        vm.deal(ALICE, 300 ether);
        vm.deal(address(this), 300 ether);
        vm.roll(1);
    }

    // ---- genesis

    function _validators() internal pure virtual returns (uint256) {
        return 4;
    }

    function _keys(uint256 n) internal {
        delete keys;
        for (uint256 i = 0; i < n; ++i) {
            (, uint256 key) = makeAddrAndKey(string.concat("validator ", vm.toString(i)));
            keys.push(key);
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); --j) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
        delete topHashes;
        delete powerHashes;
        topHashes.push(SALT);
        powerHashes.push(SALT);
    }

    /// @dev Weights 10, 20, 30, 40 ether, in the order of addresses.
    function _genesis() internal virtual returns (ISubnetGateway.Genesis memory g) {
        g.networkName = _subnet();
        g.rootGateway = ROOT_GATEWAY;
        g.validators = new Validator[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            g.validators[i] = Validator(10 ether * (i % 4 + 1), vm.addr(keys[i]), publicKey(keys[i]));
        }
        g.bottomUpCheckPeriod = PERIOD;
        g.majorityPercentage = 67;
        g.powerScale = 3;
        g.salt = SALT;
        g.circSupply = PREFUND;
        g.exitFee = FEE;
        g.deliverReward = REWARD;
        g.minRelease = 1000;
        g.maxMsgsPerPeriod = 200;
        g.messageGas = GAS;
    }

    /// @dev Runs the constructor elsewhere and copies the runtime code, as
    /// genesis does; the state is made by running it in place.
    function _place(ISubnetGateway.Genesis memory g) internal returns (SubnetGateway) {
        SubnetGateway elsewhere = new SubnetGateway(g);
        vm.etch(AT, abi.encodePacked(type(SubnetGateway).creationCode, abi.encode(g)));
        (bool ok, bytes memory runtime) = AT.call("");
        require(ok, "constructor failed");
        vm.assertEq(keccak256(runtime), keccak256(address(elsewhere).code));
        vm.etch(AT, address(elsewhere).code);
        return SubnetGateway(AT);
    }

    // ---- ids

    function _root() internal pure returns (SubnetID memory) {
        return SubnetID(ROOT, new address[](0));
    }

    function _subnet() internal pure returns (SubnetID memory id) {
        id.root = ROOT;
        id.route = new address[](1);
        id.route[0] = ACTOR;
    }

    function _atRoot(address account) internal pure returns (IPCAddress memory) {
        return IPCAddress(_root(), Fvm.from(account));
    }

    function _inSubnet(address account) internal pure returns (IPCAddress memory) {
        return IPCAddress(_subnet(), Fvm.from(account));
    }

    // ---- the root's queues

    /// @dev Commits a message on the root: nonces as the root gives them.
    function _commit(IpcEnvelope memory e) internal returns (IpcEnvelope memory) {
        e.localNonce = uint64(topLeaves.length);
        e.originalNonce = e.localNonce | (e.originalNonce & ASKED);
        bytes32 item = Envelopes.toHash(e);
        topLeaves.push(item);
        topHashes.push(keccak256(abi.encodePacked(topHashes[topHashes.length - 1], item)));
        return e;
    }

    function _transfer(address to, uint256 value) internal returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Transfer;
        e.value = value;
        e.to = _inSubnet(to);
        e.from = _atRoot(REMOTE);
        return _commit(e);
    }

    function _callTo(address to, uint256 value, bool asked) internal returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Call;
        e.value = value;
        e.to = _inSubnet(to);
        e.from = _atRoot(REMOTE);
        e.message = abi.encode(CallMsg(abi.encodePacked(bytes4(0xdfb85dac)), abi.encode(to, value)));
        if (asked) e.originalNonce = ASKED;
        return _commit(e);
    }

    function _result(address to, uint256 value, bytes32 id) internal returns (IpcEnvelope memory e) {
        e.kind = IpcMsgKind.Result;
        e.value = value;
        e.to = _inSubnet(to);
        e.from = _atRoot(REMOTE);
        e.message = abi.encode(ResultMsg(id, OutcomeType.ActorErr, hex"01"));
        return _commit(e);
    }

    function _change(PowerOperation op, address validator, bytes memory payload)
        internal
        returns (PowerChangeRequest memory r)
    {
        r = PowerChangeRequest(PowerChange(op, payload, validator), uint64(powerHashes.length));
        bytes32 item = keccak256(abi.encode(r));
        powerLeaves.push(item);
        powerHashes.push(keccak256(abi.encodePacked(powerHashes[powerHashes.length - 1], item)));
    }

    function _setPower(address validator, uint256 weight) internal returns (PowerChangeRequest memory) {
        return _change(PowerOperation.SetPower, validator, abi.encode(weight));
    }

    function _setKey(address validator, bytes memory key) internal returns (PowerChangeRequest memory) {
        return _change(PowerOperation.SetMetadata, validator, key);
    }

    // ---- statements

    /// @dev What validators say of the root as it is now.
    function _statement(uint256 messages, uint256 changes) internal view returns (ParentFinality memory s) {
        s.signerConfig = gateway.appliedConfigurationNumber();
        s.parentHeight = gateway.latestParentFinality().parentHeight + 1;
        s.parentHash = keccak256(abi.encode("parent", s.parentHeight));
        // forge-lint: disable-next-line(unsafe-typecast)
        s.topDownNonce = uint64(messages);
        s.topDownHash = topHashes[messages];
        // forge-lint: disable-next-line(unsafe-typecast)
        s.powerChangeNonce = uint64(changes);
        s.powerChangeHash = powerHashes[changes];
    }

    function _digest(ParentFinality memory s) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
                ),
                keccak256("Causeway"),
                keccak256("1"),
                block.chainid,
                AT,
                SALT
            )
        );
        bytes32 typeHash = keccak256(
            "ParentFinality(uint64 signerConfig,uint64 parentHeight,bytes32 parentHash,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
        );
        bytes32 body = keccak256(
            abi.encode(
                typeHash,
                s.signerConfig,
                s.parentHeight,
                s.parentHash,
                s.topDownNonce,
                s.topDownHash,
                s.powerChangeNonce,
                s.powerChangeHash
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, body));
    }

    /// @dev Signatures of the validators whose bit is set in `mask`.
    function _sign(bytes32 digest, uint256 mask)
        internal
        view
        returns (address[] memory signatories, bytes[] memory signatures)
    {
        uint256 n = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            if (mask >> i & 1 == 1) ++n;
        }
        signatories = new address[](n);
        signatures = new bytes[](n);
        n = 0;
        for (uint256 i = 0; i < keys.length; ++i) {
            if (mask >> i & 1 == 0) continue;
            signatories[n] = vm.addr(keys[i]);
            signatures[n++] = signature(keys[i], digest);
        }
    }

    function _attest(ParentFinality memory s) internal {
        (address[] memory who, bytes[] memory sigs) = _sign(_digest(s), type(uint256).max);
        vm.prank(RELAYER);
        gateway.commitParentFinality(s, who, sigs);
    }

    /// @dev Attests everything the root committed.
    function _attestAll() internal {
        _attest(_statement(topLeaves.length, powerLeaves.length));
    }

    function _attestTo(uint256 messages) internal {
        _attest(_statement(messages, gateway.latestParentFinality().powerChangeNonce));
    }

    // ---- delivery

    /// @dev Hashes after message `last` up to the pair that proves it.
    function _tail(uint256 last) internal view returns (bytes32[] memory tail) {
        // forge-lint: disable-next-line(unsafe-typecast)
        (uint64 pair,) = gateway.committedTopDownAt(uint64(last + 1));
        tail = new bytes32[](pair == 0 ? 0 : pair - last - 1);
        for (uint256 i = 0; i < tail.length; ++i) {
            tail[i] = topLeaves[last + 1 + i];
        }
    }

    function _deliver(IpcEnvelope[] memory messages) internal {
        bytes32[] memory tail = _tail(messages[messages.length - 1].localNonce);
        vm.prank(RELAYER);
        gateway.deliver(messages, tail);
    }

    function _deliver(IpcEnvelope memory e) internal {
        _deliver(_one(e));
    }

    /// @dev Attests all and delivers this last message.
    function _arrive(IpcEnvelope memory e) internal {
        _attestAll();
        _deliver(e);
    }

    function _one(IpcEnvelope memory e) internal pure returns (IpcEnvelope[] memory list) {
        list = new IpcEnvelope[](1);
        list[0] = e;
    }

    function _slice(IpcEnvelope[] memory all, uint256 from, uint256 to)
        internal
        pure
        returns (IpcEnvelope[] memory list)
    {
        list = new IpcEnvelope[](to - from);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = all[from + i];
        }
    }

    function _checkpoint(uint64 configuration) internal view returns (BottomUpCheckpoint memory c) {
        c.subnetID = _subnet();
        c.blockHeight = (block.number / PERIOD + 1) * PERIOD;
        c.blockHash = keccak256("block");
        c.nextConfigurationNumber = configuration;
    }

    function _configure(uint64 configuration) internal {
        BottomUpCheckpoint memory c = _checkpoint(configuration);
        (address[] memory who, bytes[] memory sigs) = _sign(keccak256(abi.encode(c)), type(uint256).max);
        gateway.applyConfiguration(c, who, sigs);
    }

    // ---- what came out

    /// @dev The bottom-up messages among the logs recorded since recordLogs.
    function _sent() internal returns (IpcEnvelope[] memory list) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        list = new IpcEnvelope[](logs.length);
        uint256 n = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ISubnetGateway.BottomUpMessage.selector) continue;
            list[n++] = abi.decode(logs[i].data, (IpcEnvelope));
        }
        assembly ("memory-safe") {
            mstore(list, n)
        }
    }

    function _expectApplied(
        IpcEnvelope memory e,
        OutcomeType outcome,
        Disposition disposition,
        bytes memory ret
    ) internal {
        vm.expectEmit(AT);
        emit ISubnetGateway.TopDownMessageApplied(
            e.localNonce, Envelopes.tracingId(e), outcome, disposition, ret
        );
    }

    function _xnet(InvalidXnetMessageReason reason) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(bytes4(0xbc0f01cf), reason);
    }

    /// @dev The counters and the balance must tell one story.
    function _books() internal view {
        ISubnetGateway.Counters memory c = gateway.getCounters();
        vm.assertEq(gateway.circSupply(), c.preFunded + c.released - c.returned);
        uint256 kept = c.returned + c.feesIn + c.credited;
        uint256 gone = c.released + c.feesOut + c.creditsPaid;
        vm.assertEq(AT.balance, TREASURY + kept - gone);
    }
}
